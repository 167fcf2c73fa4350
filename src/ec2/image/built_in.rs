//! What is known of images without configuration: aliases of publishers' own, and who logs in.

use crate::config::{ImageQuery, KeyType};

/// An alias that is known without configuration.
struct BuiltIn {
    alias: &'static str,
    publisher: Publisher,
    name: &'static str,
}

/// Whose images they are: the account's number, and the user that logs in.
#[derive(Clone, Copy)]
struct Publisher {
    owner: &'static str,
    user: &'static str,
}

const fn publisher(owner: &'static str, user: &'static str) -> Publisher {
    Publisher { owner, user }
}

/// <https://docs.aws.amazon.com/linux/al2023/ug/ec2.html>
const AMAZON: Publisher = publisher("amazon", "ec2-user");
/// <https://wiki.almalinux.org/cloud/AWS.html>
const ALMALINUX: Publisher = publisher("764336703387", "ec2-user");
/// Fedora's account, which publishes CentOS Stream, too: <https://www.centos.org/download/aws-images/>
const CENTOS: Publisher = publisher("125523088429", "ec2-user");
/// <https://wiki.debian.org/Cloud/AmazonEC2Image>, which names both accounts.
const DEBIAN: Publisher = publisher("136693071363", "admin");
const DEBIAN_DAILY: Publisher = publisher("903794441882", "admin");
/// <https://fedoraproject.org/cloud/download>
const FEDORA: Publisher = publisher("125523088429", "fedora");
/// <https://www.flatcar.org/docs/latest/installing/cloud/aws-ec2/>
const FLATCAR: Publisher = publisher("075585003325", "core");
/// <https://access.redhat.com/solutions/15356>
const RED_HAT: Publisher = publisher("309956199498", "ec2-user");
/// <https://rockylinux.org/download>
const ROCKY: Publisher = publisher("792107900819", "rocky");
/// <https://documentation.suse.com/sle-public-cloud/all/html/public-cloud/cha-images.html> has the scheme of the names.
const SUSE: Publisher = publisher("013907871322", "ec2-user");
/// <https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/>
const UBUNTU: Publisher = publisher("099720109477", "ubuntu");

const fn built_in(alias: &'static str, publisher: Publisher, name: &'static str) -> BuiltIn {
    BuiltIn { alias, publisher, name }
}

/// The aliases; `images` in the configuration goes before them. Each name is so exact that nothing else of the publisher's fits: minimal,
/// container, backports, bring-your-own-subscription and beta images bear names that are alike.
const BUILT_IN: &[BuiltIn] = &[
    built_in("al2", AMAZON, "amzn2-ami-hvm-2.0.*-{arch}-gp2"),
    built_in("al2023", AMAZON, "al2023-ami-2023.*-{arch}"),
    built_in("al2023-minimal", AMAZON, "al2023-ami-minimal-2023.*-{arch}"),
    built_in("almalinux-8", ALMALINUX, "AlmaLinux OS 8.* {rpm-arch}"),
    built_in("almalinux-9", ALMALINUX, "AlmaLinux OS 9.* {rpm-arch}"),
    built_in("almalinux-10", ALMALINUX, "AlmaLinux OS 10.* {rpm-arch}"),
    built_in("centos-stream-9", CENTOS, "CentOS Stream 9 {rpm-arch} *"),
    built_in("centos-stream-10", CENTOS, "CentOS Stream 10 {rpm-arch} *"),
    built_in("debian-11", DEBIAN, "debian-11-{deb-arch}-*"),
    built_in("debian-12", DEBIAN, "debian-12-{deb-arch}-*"),
    built_in("debian-12-daily", DEBIAN_DAILY, "debian-12-{deb-arch}-daily-*"),
    built_in("debian-13", DEBIAN, "debian-13-{deb-arch}-*"),
    built_in("debian-13-daily", DEBIAN_DAILY, "debian-13-{deb-arch}-daily-*"),
    built_in("debian-sid", DEBIAN_DAILY, "debian-sid-{deb-arch}-daily-*"),
    built_in("fedora-43", FEDORA, "Fedora-Cloud-Base-AmazonEC2.{rpm-arch}-43-*"),
    built_in("fedora-44", FEDORA, "Fedora-Cloud-Base-AmazonEC2.{rpm-arch}-44-*"),
    built_in("flatcar-stable", FLATCAR, "Flatcar-stable-*-hvm"),
    built_in("rhel-8", RED_HAT, "RHEL-8.*_HVM-*-{arch}-*-Hourly2-GP3"),
    built_in("rhel-9", RED_HAT, "RHEL-9.*_HVM-*-{arch}-*-Hourly2-GP3"),
    built_in("rhel-10", RED_HAT, "RHEL-10.*_HVM-*-{arch}-*-Hourly2-GP3"),
    built_in("rocky-8", ROCKY, "Rocky-8-EC2-Base-8.*.{rpm-arch}"),
    built_in("rocky-9", ROCKY, "Rocky-9-EC2-Base-9.*.{rpm-arch}"),
    built_in("rocky-10", ROCKY, "Rocky-10-EC2-Base-10.*.{rpm-arch}"),
    built_in("sles-15", SUSE, "suse-sles-15-sp?-v????????-hvm-ssd-{arch}"),
    built_in("ubuntu-20.04", UBUNTU, "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-{deb-arch}-server-*"),
    built_in("ubuntu-22.04", UBUNTU, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{deb-arch}-server-*"),
    built_in("ubuntu-22.04-daily", UBUNTU, "ubuntu/images-testing/hvm-ssd/ubuntu-jammy-daily-{deb-arch}-server-*"),
    built_in("ubuntu-22.04-minimal", UBUNTU, "ubuntu-minimal/images/hvm-ssd/ubuntu-jammy-22.04-{deb-arch}-minimal-*"),
    built_in("ubuntu-24.04", UBUNTU, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{deb-arch}-server-*"),
    built_in("ubuntu-24.04-daily", UBUNTU, "ubuntu/images-testing/hvm-ssd-gp3/ubuntu-noble-daily-{deb-arch}-server-*"),
    built_in(
        "ubuntu-24.04-minimal",
        UBUNTU,
        "ubuntu-minimal/images/hvm-ssd-gp3/ubuntu-noble-24.04-{deb-arch}-minimal-*",
    ),
    built_in("ubuntu-26.04", UBUNTU, "ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{deb-arch}-server-*"),
    built_in(
        "ubuntu-26.04-daily",
        UBUNTU,
        "ubuntu/images-testing/hvm-ssd-gp3/ubuntu-resolute-daily-{deb-arch}-server-*",
    ),
    built_in(
        "ubuntu-26.04-minimal",
        UBUNTU,
        "ubuntu-minimal/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{deb-arch}-minimal-*",
    ),
];

/// What a built-in alias stands for.
pub(super) fn alias(word: &str) -> Option<ImageQuery> {
    let known = BUILT_IN.iter().find(|known| known.alias == word)?;
    Some(ImageQuery::named(known.name).owner(known.publisher.owner).user(known.publisher.user))
}

/// All built-in aliases.
pub(super) fn aliases() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|known| known.alias)
}

/// Which user logs in, by a part of the image's name in small letters; probed where none of these fits.
const USERS: &[(&str, &str)] = &[
    ("ubuntu", "ubuntu"),
    ("debian", "admin"),
    ("al2023", "ec2-user"),
    ("amzn", "ec2-user"),
    ("rhel", "ec2-user"),
    ("suse", "ec2-user"),
    ("sles", "ec2-user"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("almalinux", "ec2-user"),
    ("centos stream", "ec2-user"),
    ("flatcar", "core"),
    ("fcos", "core"),
];

/// The users to try where nothing is known, the most common first.
pub(crate) const CANDIDATES: &[&str] =
    &["ec2-user", "ubuntu", "admin", "fedora", "rocky", "cloud-user", "core", "root"];

/// Who logs in to an image of this name.
pub(super) fn user(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    USERS.iter().find(|(part, _)| name.contains(part)).map(|(_, user)| (*user).to_owned())
}

/// The type of keys that an image of this name takes; `None`: any. A system that keeps to FIPS 140 has no Ed25519 in its SSH server:
/// `ubuntu-pro-fips-server/images/…`. <https://documentation.ubuntu.com/pro-client/en/latest/howtoguides/enable_fips/>
pub(super) fn key_type(name: &str) -> Option<KeyType> {
    name.to_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "fips").then_some(KeyType::Rsa)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Architecture, What};

    /// As EC2's filters match: `*` is any text, `?` any character.
    fn fits(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => fits(&pattern[1..], name) || name.first().is_some_and(|_| fits(pattern, &name[1..])),
            (Some(b'?'), Some(_)) => fits(&pattern[1..], &name[1..]),
            (Some(one), Some(other)) if one == other => fits(&pattern[1..], &name[1..]),
            _ => false,
        }
    }

    fn alias_of(name: &str, architecture: Architecture) -> Vec<&'static str> {
        let is_it = |word: &&str| match alias(word).unwrap().what {
            What::Named(pattern) => fits(architecture.fill(&pattern).as_bytes(), name.as_bytes()),
            What::Word(_) => false,
        };
        aliases().filter(is_it).collect()
    }

    /// Names as publishers give them, the most alike among them.
    #[test]
    fn an_alias_is_one_image_and_none_that_is_merely_alike() {
        use Architecture::{Arm64, X86_64};
        for (name, architecture, expected) in [
            ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260923", X86_64, Some("ubuntu-24.04")),
            ("ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-arm64-server-20260714", Arm64, Some("ubuntu-26.04")),
            (
                "ubuntu/images-testing/hvm-ssd-gp3/ubuntu-noble-daily-amd64-server-20260923",
                X86_64,
                Some("ubuntu-24.04-daily"),
            ),
            (
                "ubuntu-minimal/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-minimal-20260923",
                X86_64,
                Some("ubuntu-24.04-minimal"),
            ),
            ("ubuntu-pro-server/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-pro-server-20260923", X86_64, None),
            ("ubuntu-eks/k8s_1.34/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260923", X86_64, None),
            ("debian-13-amd64-20260914-2601", X86_64, Some("debian-13")),
            ("debian-13-backports-amd64-20260914-2601", X86_64, None),
            ("RHEL-9.8.0_HVM-20260908-x86_64-0-Hourly2-GP3", X86_64, Some("rhel-9")),
            ("RHEL-9.8.0_HVM_BETA-20260401-x86_64-0-Hourly2-GP3", X86_64, None),
            ("RHEL-9.8.0_HVM-20260908-x86_64-0-Access2-GP3", X86_64, None),
            ("al2023-ami-2023.12.20260918.0-kernel-6.18-x86_64", X86_64, Some("al2023")),
            ("al2023-ami-minimal-2023.12.20260918.0-kernel-6.18-arm64", Arm64, Some("al2023-minimal")),
            ("suse-sles-15-sp6-v20260919-hvm-ssd-x86_64", X86_64, Some("sles-15")),
            ("suse-sles-15-sp7-v20260922-ecs-hvm-ssd-x86_64", X86_64, None),
            ("suse-sles-15-sp6-chost-byos-v20260921-hvm-ssd-x86_64", X86_64, None),
            ("AlmaLinux OS 9.7.20251118 x86_64", X86_64, Some("almalinux-9")),
            ("Rocky-9-EC2-Base-9.7-20251123.2.aarch64", Arm64, Some("rocky-9")),
            ("Fedora-Cloud-Base-AmazonEC2.x86_64-44-20260901.0", X86_64, Some("fedora-44")),
            ("Flatcar-stable-4230.2.1-hvm", X86_64, Some("flatcar-stable")),
        ] {
            assert_eq!(alias_of(name, architecture), Vec::from_iter(expected), "{name}");
            let other = if architecture == X86_64 { Arm64 } else { X86_64 };
            assert!(alias_of(name, other).is_empty() || name.starts_with("Flatcar"), "{name}");
        }
    }

    #[test]
    fn each_alias_is_there_once() {
        let all = std::collections::BTreeSet::from_iter(aliases());
        assert_eq!(all.len(), BUILT_IN.len());
    }

    #[test]
    fn fips_is_told_by_the_name() {
        assert_eq!(
            key_type("ubuntu-pro-fips-server/images/hvm-ssd/ubuntu-jammy-22.04-amd64-pro-fips"),
            Some(KeyType::Rsa)
        );
        assert_eq!(key_type("ours-fipsy"), None);
        assert_eq!(user("CentOS Stream 9 x86_64 20260901").as_deref(), Some("ec2-user"));
    }
}
