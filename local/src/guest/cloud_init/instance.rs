//! What the machine knows of itself: from the metadata service, and where cloud-init keeps it.

use crate::guest::{metadata::Metadata, root::Root};
use serde_json::json;
use std::{fs, io, net::SocketAddr, os::unix::fs::symlink};

/// What the metadata service says of the instance.
#[derive(Debug, Default, Clone)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// The keys to log in with.
    pub keys: Vec<String>,
    /// The user data.
    pub user_data: Vec<u8>,
    /// The region.
    pub region: String,
    /// The availability zone.
    pub zone: String,
    /// The image.
    pub image: String,
    /// The instance type.
    pub kind: String,
    /// The private address.
    pub address: String,
}

impl Instance {
    /// Asks the metadata service.
    pub async fn fetch(address: SocketAddr) -> io::Result<Self> {
        let mut metadata = Metadata::connect(address).await?;
        let id = metadata.text("meta-data/instance-id").await?;
        let mut text = async |path: &str| io::Result::Ok(metadata.text(path).await?.unwrap_or_default());
        Ok(Self {
            id: id.ok_or_else(|| io::Error::other("the metadata service names no instance id"))?,
            region: text("meta-data/placement/region").await?,
            zone: text("meta-data/placement/availability-zone").await?,
            image: text("meta-data/ami-id").await?,
            kind: text("meta-data/instance-type").await?,
            address: text("meta-data/local-ipv4").await?,
            keys: metadata.public_keys().await?,
            user_data: metadata.get("user-data").await?.unwrap_or_default(),
        })
    }

    /// Whether the machine has been set up as this instance, to the end.
    pub fn is_set_up(&self, root: &Root) -> bool {
        fs::read_to_string(root.path("/var/lib/cloud/data/instance-id")).is_ok_and(|id| id.trim() == self.id)
            && root.path(format!("{}/boot-finished", self.directory())).exists()
    }

    /// Where what belongs to this instance is kept.
    pub fn directory(&self) -> String {
        format!("/var/lib/cloud/instances/{}", if self.id.is_empty() { "iid-datasource-none" } else { &self.id })
    }

    /// Writes down which instance this is.
    pub fn write(&self, root: &Root, hostname: &str) -> io::Result<()> {
        let directory = self.directory();
        fs::create_dir_all(root.path(format!("{directory}/scripts")))?;
        let link = root.path("/var/lib/cloud/instance");
        let _ = fs::remove_file(&link);
        symlink(directory.trim_start_matches("/var/lib/cloud/"), link)?;
        let previous = root.read_or_empty("/var/lib/cloud/data/instance-id")?;
        let previous = if previous.is_empty() { "NO_PREVIOUS_INSTANCE_ID\n" } else { &previous };
        root.write("/var/lib/cloud/data/previous-instance-id", previous, 0o644)?;
        root.write("/var/lib/cloud/data/instance-id", format!("{}\n", self.id), 0o644)?;
        root.write(format!("{directory}/user-data.txt"), &self.user_data, 0o600)?;
        root.write(format!("{directory}/datasource"), "DataSourceEc2Local: DataSourceEc2Local\n", 0o644)?;
        root.write("/run/cloud-init/cloud-id", "aws\n", 0o644)?;
        root.write("/run/cloud-init/cloud-id-aws", "aws\n", 0o644)?;
        let data = json!({
            "base64_encoded_keys": [],
            "ds": { "meta_data": {
                "instance-id": self.id,
                "ami-id": self.image,
                "instance-type": self.kind,
                "local-ipv4": self.address,
                "local-hostname": hostname,
                "placement": { "region": self.region, "availability-zone": self.zone },
            } },
            "sensitive_keys": [],
            "v1": {
                "availability_zone": self.zone,
                "cloud_id": "aws",
                "cloud_name": "aws",
                "instance_id": self.id,
                "local_hostname": hostname.split('.').next(),
                "platform": "ec2",
                "public_ssh_keys": self.keys,
                "region": self.region,
                "subplatform": "metadata (http://169.254.169.254)",
            },
        });
        root.write("/run/cloud-init/instance-data.json", format!("{data:#}\n"), 0o644)
    }
}
