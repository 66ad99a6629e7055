//! Names that come near to what was typed.

/// Names offered at most.
const OFFERED: usize = 5;

/// The nearest of these names: those that contain what was typed, then those that differ by few letters.
pub fn nearest(typed: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    if typed.is_empty() {
        return Vec::new();
    }
    let wanted = typed.to_lowercase();
    // A third of the letters may be wrong: more than that is another name.
    let allowed = (wanted.chars().count() / 3).clamp(1, 6);
    let mut near: Vec<(usize, String)> = names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            // Without its namespace, as people type it.
            let bare = lower.rsplit_once('/').map_or(lower.as_str(), |(_, bare)| bare);
            let distance = |name: &str| strsim::osa_distance(&wanted, name);
            match wanted.chars().count() > 2 && lower.contains(&wanted) {
                true => Some((0, name)),
                false => Some((distance(&lower).min(distance(bare)), name)).filter(|(d, _)| *d <= allowed),
            }
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_come_first() {
        let names = ["dev/web", "dev/signin-test-a-8bcd5db69-9z2c5", "wbe", "postgres", "prod/web"];
        let near = |typed| nearest(typed, names.iter().map(|n| (*n).to_owned()));
        assert_eq!(near("signin"), ["dev/signin-test-a-8bcd5db69-9z2c5"]);
        assert_eq!(near("postgers"), ["postgres"]);
        assert_eq!(near("wen"), ["dev/web", "prod/web"]);
        assert_eq!(near("dev/wbe"), ["dev/web"]);
        assert_eq!(near("mysql"), [""; 0]);
        assert_eq!(near("x"), [""; 0]);
    }
}
