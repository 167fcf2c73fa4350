//! Where this process is among the host's cgroups, and where others can be made.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

/// What bounds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// What it bounds, in words for the console.
    pub fn bounds(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "processes",
            Self::Cpu => "CPU",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}

/// The kernel's two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// A hierarchy of cgroups that is mounted, and this process's place in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub version: Version,
    mount: PathBuf,
    own: PathBuf,
    /// Version 1 has them by hierarchy; with version 2 each cgroup says which it has.
    controllers: Vec<Controller>,
}

impl Hierarchy {
    /// Whether it has, or may have, one of our controllers.
    pub fn bounds_something(&self) -> bool {
        self.version == Version::Two || !self.controllers.is_empty()
    }

    /// Those of this host.
    pub fn all() -> Vec<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    /// The cgroups in which a machine's may be made, whether that is allowed or not.
    pub fn places(&self) -> Vec<PathBuf> {
        let above = self.own.parent().filter(|above| above.starts_with(&self.mount));
        let above = above.filter(|_| self.version == Version::Two);
        iter::once(&*self.own).chain(above).map(Path::to_owned).collect()
    }

    /// The cgroup of this process and those above it, as far as they can be seen.
    pub fn own_and_above(&self) -> Vec<PathBuf> {
        self.own.ancestors().take_while(|place| place.starts_with(&self.mount)).map(Path::to_owned).collect()
    }

    /// The same, each with the controllers that a cgroup made there has; what has none is left out.
    pub fn parents(&self) -> Vec<(PathBuf, Vec<Controller>)> {
        let with_controllers = |place: PathBuf| {
            let controllers = match self.version {
                Version::One => self.controllers.clone(),
                Version::Two => hand_on(&place),
            };
            (place, controllers)
        };
        self.places().into_iter().map(with_controllers).filter(|(_, controllers)| !controllers.is_empty()).collect()
    }
}

/// Has a cgroup of version 2 hand its controllers on to those below it; says which it does. One with processes in it
/// refuses, unless it is the root.
fn hand_on(place: &Path) -> Vec<Controller> {
    let names = |file: &str| {
        let text = fs::read_to_string(place.join(file)).unwrap_or_default();
        text.split_whitespace().filter_map(Controller::named).collect::<Vec<_>>()
    };
    let mut handed = names("cgroup.subtree_control");
    for controller in names("cgroup.controllers") {
        let switch = place.join("cgroup.subtree_control");
        if !handed.contains(&controller) && fs::write(switch, format!("+{}", controller.name())).is_ok() {
            handed.push(controller);
        }
    }
    handed
}

/// Reads mountinfo (proc(5)) and the process's cgroups (cgroups(7)).
fn parse(mounts: &str, cgroups: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else { continue };
        let version = if names.is_empty() { Version::Two } else { Version::One };
        let controllers: Vec<_> = names.split(',').filter_map(Controller::named).collect();
        let place = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let (before, after): (Vec<_>, Vec<_>) = (before.split(' ').collect(), after.split(' ').collect());
            let fits = match version {
                Version::Two => *after.first()? == "cgroup2",
                Version::One => {
                    let has =
                        |name: &str| after.last().is_some_and(|options| options.split(',').any(|has| has == name));
                    *after.first()? == "cgroup" && names.split(',').all(has)
                }
            };
            // A mount may show a part of the hierarchy only, as in a container.
            let below = Path::new(path).strip_prefix(before.get(3)?).ok()?;
            let mount = PathBuf::from(before.get(4)?);
            fits.then(|| (mount.join(below), mount))
        });
        let Some((own, mount)) = place else { continue };
        found.push(Hierarchy { version, own, mount, controllers });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_place() {
        let mounts = "25 20 0:22 / /proc rw - proc proc rw
30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let [found] = &parse(mounts, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n")[..]
        else {
            panic!("one")
        };
        let app = PathBuf::from("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice");
        assert_eq!((found.version, found.places()), (Version::Two, vec![app.join("run-1.scope"), app]));
        // The root has nothing beside it.
        assert_eq!(parse(mounts, "0::/\n")[0].places(), [PathBuf::from("/sys/fs/cgroup")]);
        // Out of what is mounted.
        assert_eq!(parse(&mounts.replace("0:26 /", "0:26 /docker"), "0::/\n"), []);

        let mounts = "31 30 0:27 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
        let found = parse(mounts, "5:cpuset:/\n4:cpu,cpuacct:/a\n3:memory:/docker/x/b\n1:name=systemd:/\n0::/\n");
        let places: Vec<_> = found.iter().map(|found| (found.places(), found.controllers.clone())).collect();
        assert_eq!(
            places,
            [
                (vec![PathBuf::from("/sys/fs/cgroup/cpuset")], vec![]),
                (vec![PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a")], vec![Controller::Cpu]),
                (vec![PathBuf::from("/sys/fs/cgroup/memory/b")], vec![Controller::Memory]),
            ]
        );
    }
}
