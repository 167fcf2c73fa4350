//! What a machine's metadata service is to be.

use aws_sdk_ec2::types::{
    HttpTokensState, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceMetadataProtocolState,
    InstanceMetadataTagsState,
};

/// A machine's instance metadata service; plain data. The default is [`v2`](Self::v2).
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "it says nothing before it is given to a launch"]
pub struct Imds {
    version: Version,
    hop_limit: Option<u8>,
    tags: bool,
    ipv6: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    #[default]
    Two,
    Any,
    Off,
}

/// The most hops that EC2 takes.
const HOPS_MAX: u8 = 64;

impl Imds {
    /// Version 2 only: requests need a token.
    pub fn v2() -> Self {
        Self::default()
    }

    /// Version 1, too: requests need no token.
    pub fn any_version() -> Self {
        Self { version: Version::Any, ..Self::default() }
    }

    /// None at all. cloud-init finds neither the key nor the user data then.
    pub fn off() -> Self {
        Self { version: Version::Off, ..Self::default() }
    }

    /// How many hops an answer may take, 1 to 64: a container in the machine needs 2. Default: the account's, the image's, or EC2's.
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = Some(hops);
        self
    }

    /// Serves the instance's tags. Their keys can't have `/` or spaces then. Default: they aren't served.
    pub fn tags(mut self) -> Self {
        self.tags = true;
        self
    }

    /// Answers over IPv6, too. Default: over IPv4 only.
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// What EC2 would refuse; `keys` are those of the machine's tags.
    pub(super) fn check<'a>(&self, mut keys: impl Iterator<Item = &'a String>) -> Result<(), String> {
        if let Some(hops) = self.hop_limit.filter(|hops| !(1..=HOPS_MAX).contains(hops)) {
            return Err(format!("metadata takes 1 to {HOPS_MAX} hops, not {hops}"));
        }
        let is_served = |key: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_+=,.@:".contains(c);
            key.chars().all(is_plain) && ![".", "..", "_index"].contains(&key)
        };
        match keys.find(|key| self.tags && !is_served(key)) {
            Some(key) => Err(format!(
                "the tag `{key}` can't be served as metadata: its key may have letters, digits and `-_+=,.@:` only"
            )),
            None => Ok(()),
        }
    }

    pub(super) fn request(&self) -> InstanceMetadataOptionsRequest {
        let tokens = if self.version == Version::Any { HttpTokensState::Optional } else { HttpTokensState::Required };
        let request = InstanceMetadataOptionsRequest::builder();
        if self.version == Version::Off {
            return request.http_endpoint(InstanceMetadataEndpointState::Disabled).build();
        }
        request
            .http_tokens(tokens)
            .set_http_put_response_hop_limit(self.hop_limit.map(i32::from))
            .set_instance_metadata_tags(self.tags.then_some(InstanceMetadataTagsState::Enabled))
            .set_http_protocol_ipv6(self.ipv6.then_some(InstanceMetadataProtocolState::Enabled))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ec2_would_refuse_is_told() {
        let check = |imds: Imds, key: &str| imds.check([key.to_owned()].iter());
        assert!(check(Imds::v2().hop_limit(2), "a b/c").is_ok());
        assert!(check(Imds::v2().tags(), "cost:center").is_ok());
        for (imds, says) in [(Imds::v2().hop_limit(0), "hops"), (Imds::v2().hop_limit(65), "hops")] {
            assert!(check(imds, "k").unwrap_err().contains(says));
        }
        for key in ["a b", "a/b", "_index"] {
            assert!(check(Imds::v2().tags(), key).unwrap_err().contains(key), "{key}");
        }
    }
}
