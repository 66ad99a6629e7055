//! One container as its runtime's state tells of it, and how several that share a namespace become one owner.

use crate::model::{Container, Owner, PodName};

use super::cgroup::{Engine, Mark};

/// Digits of an id that a person is shown.
const SHORT: usize = 12;
/// Bytes of the longest name that is honest: that of a Kubernetes object, and what Docker makes of it.
const MODEST: usize = 1024;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub runtime: &'static str,
    pub id: String,
    pub name: Option<String>,
    pub pod: Option<PodName>,
    /// Uid of the pod, also where that is all that is known of it.
    pub pod_uid: Option<String>,
    /// What the cgroup calls the pod: its uid, or the id of a podman pod.
    pub in_pod: Option<String>,
    /// The container whose namespace it shares: the pod's sandbox, or another one.
    pub joins: Option<String>,
    /// Name of the group where that is no Kubernetes pod.
    pub group: Option<String>,
    pub sandbox: bool,
    /// Its first process.
    pub init: Option<u32>,
    pub user: Option<u32>,
}

impl Record {
    /// What a cgroup alone says.
    pub(super) fn of(mark: &Mark) -> Self {
        let runtime = match mark.engine {
            Engine::Kube | Engine::Any | Engine::Ctr | Engine::Containerd => "containerd",
            Engine::Crio => "cri-o",
            Engine::Docker => "docker",
            Engine::Podman => "podman",
            Engine::Lxc => "lxc",
            Engine::Nspawn => "nspawn",
        };
        let named_by_id = matches!(mark.engine, Engine::Lxc | Engine::Nspawn | Engine::Ctr);
        // A podman pod has an id there, and no uid.
        let pod_uid = mark.pod.clone().filter(|_| !matches!(mark.engine, Engine::Podman | Engine::Ctr));
        Record {
            runtime,
            id: mark.id.clone(),
            name: mark.name.clone().or_else(|| named_by_id.then(|| mark.id.clone())),
            pod: None,
            pod_uid,
            in_pod: mark.pod.clone(),
            joins: None,
            group: None,
            sandbox: false,
            init: None,
            user: mark.user,
        }
    }

    /// What those have in common that share a namespace.
    pub(super) fn key(&self) -> &str {
        self.pod_uid.as_deref().or(self.joins.as_deref()).unwrap_or(&self.id)
    }

    /// Its name, or as much of its id as a person is shown.
    pub(super) fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| short(&self.id))
    }
}

/// The start of an id.
pub(super) fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

/// The owner that containers of one namespace make together; none without any.
pub(super) fn owner(mut records: Vec<Record>) -> Option<Owner> {
    records.sort_by(|a, b| {
        (!a.sandbox, a.joins.is_some(), &a.name, &a.id).cmp(&(!b.sandbox, b.joins.is_some(), &b.name, &b.id))
    });
    records.dedup_by(|a, b| a.id == b.id);
    let first = records.first()?;
    let pod = records.iter().find_map(|r| r.pod.clone());
    let group = records.iter().find_map(|r| r.group.clone());
    // A pod whose name is hidden has its uid still.
    let uid = first.pod_uid.as_deref().map(|uid| format!("pod {uid}"));
    let name = pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let name = name.or(group).or(uid).unwrap_or_else(|| first.called());
    let (runtime, user) = (first.runtime.to_owned(), first.user);
    let containers = records.into_iter().map(|r| Container { id: r.id, name: r.name, sandbox: r.sandbox }).collect();
    Some(Owner { runtime, name, pod, containers, user, within: None })
}

/// The owner of a namespace that was made inside of a container. Whatever an engine in there says is the container's
/// own word, which it could have chosen to look like another's: so every name begins with that of the outer one.
pub(super) fn inside(within: String, mut records: Vec<Record>) -> Option<Owner> {
    for record in &mut records {
        record.name = record.name.take().filter(|name| is_modest(name));
        record.group = record.group.take().filter(|name| is_modest(name));
        record.pod = record.pod.take().filter(|pod| is_modest(&pod.name) && is_modest(&pod.namespace));
    }
    let inner = owner(records)?;
    let under = |name: String| format!("{within}/{name}");
    let containers = inner.containers.into_iter();
    let containers = containers.map(|c| Container { name: c.name.map(under), ..c }).collect();
    Some(Owner { name: under(inner.name), containers, pod: None, within: Some(within.clone()), ..inner })
}

/// A name as runtimes give them, not one that shall look like something else.
pub(super) fn is_modest(name: &str) -> bool {
    !name.is_empty() && name.len() <= MODEST && !name.contains('/')
}

/// An owner without a runtime.
pub(super) fn bare(runtime: &str, name: String) -> Owner {
    Owner { runtime: runtime.to_owned(), name, pod: None, containers: Vec::new(), user: None, within: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, name: Option<&str>) -> Record {
        Record { name: name.map(str::to_owned), ..Record::of(&Mark::new(Engine::Docker, id)) }
    }

    #[test]
    fn the_one_that_others_joined_gives_the_name() {
        let sidecar = Record { joins: Some("2".to_owned()), ..record("1", Some("a-sidecar")) };
        let found = owner(vec![sidecar.clone(), record("2", Some("web")), sidecar]).unwrap();
        assert_eq!(found.name, "web");
        let names: Vec<_> = found.containers.iter().map(|c| c.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["web", "a-sidecar"]);
        assert_eq!(owner(vec![]), None);
    }

    #[test]
    fn what_has_no_name_is_called_by_its_id() {
        assert_eq!(owner(vec![record("0123456789abcdef", None)]).unwrap().name, "0123456789ab");
        let mark = Mark { pod: Some("0f6e".to_owned()), ..Mark::new(Engine::Kube, "1") };
        assert_eq!(owner(vec![Record::of(&mark)]).unwrap().name, "pod 0f6e");
    }
}
