//! What a VPC is to be: `NewVpc::new("10.20.0.0/16")`.

/// A VPC that is to be made; plain data. A range of addresses alone is one, too: `ec2.create_vpc("10.20.0.0/16")`.
///
/// What isn't said: a subnet in each of up to two zones, each a sixteenth of the range (of /28 at least), whose machines get public
/// addresses; an internet gateway, and a route to it from all subnets; IPv4 only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a VPC isn't made before it is given to `create_vpc` or `get_or_create_vpc`"]
pub struct NewVpc {
    pub(super) range: String,
    pub(super) name: Option<String>,
    pub(super) zones: Vec<String>,
    pub(super) zone_count: usize,
    /// Zone and range of each subnet that is said by itself.
    pub(super) subnets: Vec<(String, String)>,
    pub(super) ipv6: bool,
    pub(super) gateway: bool,
    pub(super) tags: Vec<(String, String)>,
}

impl NewVpc {
    /// A VPC with this range of IPv4 addresses, of /16 to /28.
    pub fn new(range: impl Into<String>) -> Self {
        Self {
            range: range.into(),
            name: None,
            zones: Vec::new(),
            zone_count: 2,
            subnets: Vec::new(),
            ipv6: false,
            gateway: true,
            tags: Vec::new(),
        }
    }

    /// Its `Name` tag. Default: the test's name, else `ec2-harness`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The zones of its subnets, by name: `us-east-1a`. Default: the configured ones, else the region's
    /// first ones.
    pub fn zones<Z: Into<String>>(mut self, zones: impl IntoIterator<Item = Z>) -> Self {
        self.zones = zones.into_iter().map(Into::into).collect();
        self
    }

    /// In how many of the region's zones it has a subnet, if there are so many, and if its range has room for them. Default: 2.
    pub fn zone_count(mut self, count: usize) -> Self {
        self.zone_count = count;
        self
    }

    /// A subnet of this range in this zone, instead of those that we would choose; several calls make several.
    pub fn subnet(mut self, range: impl Into<String>, zone: impl Into<String>) -> Self {
        self.subnets.push((zone.into(), range.into()));
        self
    }

    /// Has IPv6 addresses, too: a range of Amazon's, a /64 of it in each subnet, an address for each machine, a route to the
    /// internet. Default: IPv4 only.
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// Makes neither an internet gateway nor public addresses: nothing goes in or out. On AWS its machines are reached by a command
    /// or from within then (`reach`). Default: it has a gateway.
    pub fn without_gateway(mut self) -> Self {
        self.gateway = false;
        self
    }

    /// A tag on the VPC and its parts, beside the configuration's and our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl From<&str> for NewVpc {
    fn from(range: &str) -> Self {
        Self::new(range)
    }
}

impl From<String> for NewVpc {
    fn from(range: String) -> Self {
        Self::new(range)
    }
}
