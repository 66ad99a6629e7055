//! A client for CRI as small as these tests need it: gRPC over curl's HTTP/2, messages put together by hand. Debian has
//! no crictl.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::agree::Truth;
use crate::machine::Machine;

const SERVICE: &str = "http://localhost/runtime.v1.RuntimeService";

/// A message under way: fields of protobuf's wire format.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn int(mut self, field: u64, value: u64) -> Self {
        self.number(field << 3);
        self.number(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        self.number(field << 3 | 2);
        self.number(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    pub fn message(self, field: u64, value: Message) -> Self {
        self.bytes(field, value.0)
    }

    fn entry(self, field: u64, key: &str, value: &str) -> Self {
        self.message(field, Message::default().bytes(1, key).bytes(2, value))
    }
}

fn number(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, after) = rest.split_first().unwrap();
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// The values of a field of strings or messages.
pub fn all(mut message: &[u8], wanted: u64) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = number(&mut message);
        match tag & 7 {
            0 => {
                number(&mut message);
            }
            2 => {
                let length = number(&mut message) as usize;
                let (value, after) = message.split_at(length);
                message = after;
                if tag >> 3 == wanted {
                    found.push(value.to_vec());
                }
            }
            other => panic!("a field of type {other}"),
        }
    }
    found
}

fn text(message: &[u8], field: u64) -> String {
    String::from_utf8(all(message, field).into_iter().next().unwrap_or_default()).unwrap()
}

/// A call; the error is what the runtime says.
fn try_call(machine: &Machine, socket: &str, method: &str, request: &Message) -> Result<Vec<u8>, String> {
    let mut body = vec![0];
    body.extend((request.0.len() as u32).to_be_bytes());
    body.extend(&request.0);
    let mut curl = machine.command("curl");
    curl.args(["-sS", "--max-time", "20", "--http2-prior-knowledge", "--unix-socket", socket]);
    curl.args([
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "-D",
        "/dev/stderr",
        "--data-binary",
        "@-",
    ]);
    curl.arg(format!("{SERVICE}/{method}"));
    let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let out = child.wait_with_output().unwrap();
    match out.stdout.get(5..) {
        Some(message) => Ok(message.to_vec()),
        None => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
    }
}

#[track_caller]
pub fn call(machine: &Machine, socket: &str, method: &str, request: &Message) -> Vec<u8> {
    try_call(machine, socket, method, request).unwrap_or_else(|why| panic!("{method}: {why}"))
}

/// Whether the runtime answers.
pub fn answers(machine: &Machine, socket: &str) -> bool {
    try_call(machine, socket, "Status", &Message::default()).is_ok()
}

/// A pod as a kubelet would ask for it.
#[derive(Debug, Clone)]
pub struct Pod {
    pub id: String,
    config: Message,
}

/// Runs a pod's sandbox.
#[track_caller]
pub fn run_pod(machine: &Machine, socket: &str, namespace: &str, name: &str, uid: &str, host: bool) -> Pod {
    let metadata = Message::default().bytes(1, name).bytes(2, uid).bytes(3, namespace);
    let network = Message::default().int(1, if host { 2 } else { 0 });
    let linux = Message::default()
        .bytes(1, format!("/kubepods/burstable/pod{uid}"))
        .message(2, Message::default().message(1, network));
    let config = Message::default()
        .message(1, metadata)
        .bytes(2, if host { "" } else { name })
        .bytes(3, format!("/var/log/pods/{namespace}_{name}_{uid}"))
        .entry(6, "io.kubernetes.pod.name", name)
        .entry(6, "io.kubernetes.pod.namespace", namespace)
        .entry(6, "io.kubernetes.pod.uid", uid);
    let config = config.message(8, linux);
    machine.sh(&format!("mkdir -p /var/log/pods/{namespace}_{name}_{uid}"));
    let answer = call(machine, socket, "RunPodSandbox", &Message::default().message(1, config.clone()));
    Pod { id: text(&answer, 1), config }
}

/// Starts a container of a pod; its id.
#[track_caller]
pub fn run_container(machine: &Machine, socket: &str, pod: &Pod, name: &str) -> String {
    let config = Message::default()
        .message(1, Message::default().bytes(1, name))
        .message(2, Message::default().bytes(1, "docker.io/library/busy:latest"))
        .bytes(3, "/bin/sleep")
        .bytes(4, "10000")
        .entry(9, "io.kubernetes.container.name", name);
    let request = Message::default().bytes(1, &pod.id).message(2, config).message(3, pod.config.clone());
    let id = text(&call(machine, socket, "CreateContainer", &request), 1);
    call(machine, socket, "StartContainer", &Message::default().bytes(1, &id));
    id
}

/// All running containers, as the runtime's own API tells of them.
pub fn truths(machine: &Machine, socket: &str, runtime: &'static str) -> Vec<Truth> {
    let pods = call(machine, socket, "ListPodSandbox", &Message::default());
    let pods: Vec<_> = all(&pods, 1)
        .iter()
        .map(|pod| {
            let metadata = all(pod, 2).remove(0);
            (text(pod, 1), (text(&metadata, 3), text(&metadata, 1), text(&metadata, 2)))
        })
        .collect();
    let containers = call(machine, socket, "ListContainers", &Message::default());
    let truth = |container: &Vec<u8>| {
        let (id, sandbox) = (text(container, 1), text(container, 2));
        let status = call(machine, socket, "ContainerStatus", &Message::default().bytes(1, &id).int(2, 1));
        let info = all(&status, 2).into_iter().find(|entry| text(entry, 1) == "info").unwrap();
        let info: Value = serde_json::from_str(&text(&info, 2)).unwrap();
        Truth {
            runtime,
            name: text(&all(container, 3).remove(0), 1),
            pod: pods.iter().find(|(pod, _)| *pod == sandbox).map(|(_, pod)| pod.clone()),
            pid: info["pid"].as_u64().unwrap(),
            id,
        }
    };
    all(&containers, 1).iter().map(truth).collect()
}

/// Process of a sandbox.
pub fn sandbox_pid(machine: &Machine, socket: &str, id: &str) -> u64 {
    let status = call(machine, socket, "PodSandboxStatus", &Message::default().bytes(1, id).int(2, 1));
    let info = all(&status, 2).into_iter().find(|entry| text(entry, 1) == "info").unwrap();
    serde_json::from_str::<Value>(&text(&info, 2)).unwrap()["pid"].as_u64().unwrap()
}
