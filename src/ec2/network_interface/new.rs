//! What a network interface is to be.

use std::fmt;

/// A network interface that is to be made; plain data. Default: one private address of the machine's own subnet, in the machine's
/// groups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an interface isn't made before it is given to a machine"]
pub struct NewNetworkInterface {
    pub(super) name: Option<String>,
    pub(super) subnet: Option<String>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) addresses: u16,
    pub(super) ipv6_addresses: u16,
    pub(super) public: bool,
    pub(super) configured: bool,
    pub(super) tags: Vec<(String, String)>,
}

impl Default for NewNetworkInterface {
    fn default() -> Self {
        Self {
            name: None,
            subnet: None,
            security_groups: None,
            addresses: 1,
            ipv6_addresses: 0,
            public: false,
            configured: false,
            tags: Vec::new(),
        }
    }
}

impl NewNetworkInterface {
    /// One with every default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The subnet, of the machine's zone. Default: the machine's.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// The security groups, by id. Default: the machine's.
    pub fn security_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.security_groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// How many private IPv4 addresses it has. Default: 1.
    pub fn addresses(mut self, count: u16) -> Self {
        self.addresses = count;
        self
    }

    /// How many IPv6 addresses it has; its subnet must have some. Default: none.
    pub fn ipv6_addresses(mut self, count: u16) -> Self {
        self.ipv6_addresses = count;
        self
    }

    /// Gives its first address a public one of its own, an elastic address, which goes with the test, and stays with a machine that is kept. Default: none.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Configures it in the machine, which takes `sudo` there: its addresses, up, and answers leave by where they were asked.
    /// Default: it is down.
    pub fn configured(mut self) -> Self {
        self.configured = true;
        self
    }

    /// Its `Name` tag. Default: the test's name, else `ec2-harness`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A tag on it, beside the configuration's and our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl fmt::Display for NewNetworkInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network interface")?;
        self.subnet.as_ref().map_or(Ok(()), |subnet| write!(f, " in {subnet}"))
    }
}
