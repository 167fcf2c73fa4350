//! What a RunInstances says: the launch's own words, those of the user's pass-through, and what teardown needs, which is applied last.

use super::{Request, Variant};
use crate::{connection::tags, ec2::volume::free_device, error::Error};
use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, IamInstanceProfileSpecification, InstanceAutoRecoveryState,
        InstanceInterruptionBehavior, InstanceMaintenanceOptionsRequest, InstanceMarketOptionsRequest,
        InstanceNetworkInterfaceSpecification, MarketType, ResourceType, SpotInstanceType, SpotMarketOptions,
        TagSpecification,
    },
};
use base64::Engine as _;

impl Request<'_> {
    pub(super) fn builder(&self, variant: Variant<'_>, subnet: Option<&str>, token: &str) -> RunInstancesFluentBuilder {
        let wanted = self.wanted;
        let mut builder = self
            .connection()
            .client
            .run_instances()
            .image_id(&variant.image.id)
            .instance_type(variant.instance_type.into())
            .key_name(self.key)
            .set_security_group_ids(Some(self.groups.clone()))
            .set_subnet_id(subnet.map(str::to_owned))
            .set_ipv6_address_count(wanted.ipv6.then_some(1))
            .set_iam_instance_profile(wanted.instance_profile.as_deref().map(profile))
            .set_instance_market_options(variant.is_spot.then(spot))
            .set_user_data(wanted.user_data.as_ref().map(|text| base64::engine::general_purpose::STANDARD.encode(text)))
            .metadata_options(wanted.imds.request())
            // A machine whose host fails is lost to its test; nobody would expect it back.
            .maintenance_options(
                InstanceMaintenanceOptionsRequest::builder().auto_recovery(InstanceAutoRecoveryState::Disabled).build(),
            );
        for customize in self.customize {
            builder = customize(builder);
        }
        let mut types = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        // EC2 refuses tags of a Spot request where there is none.
        if builder.get_instance_market_options().as_ref().is_some_and(|it| it.market_type() == Some(&MarketType::Spot))
        {
            types.push(ResourceType::SpotInstancesRequest);
        }
        let tags = self.tags(types, builder.get_tag_specifications().as_deref().unwrap_or_default());
        let mappings = self.mappings(variant, builder.get_block_device_mappings().clone().unwrap_or_default());
        // EC2 refuses subnet, groups and IPv6 addresses beside interfaces: there they are said of each.
        if let Some(interfaces) = builder.get_network_interfaces().clone().filter(|given| !given.is_empty()) {
            let interfaces = interfaces.into_iter().map(|interface| self.interface(interface, subnet)).collect();
            builder = builder.set_security_group_ids(None).set_subnet_id(None).set_ipv6_address_count(None);
            builder = builder.set_network_interfaces(Some(interfaces));
        }
        builder
            .client_token(token)
            .min_count(wanted.count.into())
            .max_count(wanted.count.into())
            .set_tag_specifications(Some(tags))
            .set_block_device_mappings((!mappings.is_empty()).then_some(mappings))
    }

    /// Whether the user's own request says where the machine is to stand.
    pub(super) fn says_where(&self) -> bool {
        let request = self.customize.iter().fold(self.connection().client.run_instances(), |request, it| it(request));
        let interfaces = request.get_network_interfaces().as_deref().unwrap_or_default();
        request.get_subnet_id().is_some()
            || request.get_placement().as_ref().is_some_and(|placement| placement.availability_zone().is_some())
            || interfaces.iter().any(|interface| interface.subnet_id().or(interface.network_interface_id()).is_some())
    }

    /// For each type of what is made: what the user's own request says of it, then the launch, then what teardown needs.
    fn tags(&self, mut types: Vec<ResourceType>, requested: &[TagSpecification]) -> Vec<TagSpecification> {
        for kind in requested.iter().filter_map(TagSpecification::resource_type) {
            if !types.contains(kind) {
                types.push(kind.clone());
            }
        }
        let tags_of = |kind: &ResourceType| {
            let of_kind = requested.iter().filter(|specification| specification.resource_type() == Some(kind));
            let own: Vec<(String, String)> = of_kind
                .flat_map(TagSpecification::tags)
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
                .chain([("Name".to_owned(), self.wanted.name.clone())])
                .chain(self.wanted.tags.iter().cloned())
                .collect();
            let (ec2, test) = (self.ec2, self.ec2.scope.test_name());
            let tags = tags::tags(&ec2.config, self.connection().run, &own, test, ec2.config.lease);
            TagSpecification::builder().resource_type(kind.clone()).set_tags(Some(tags)).build()
        };
        types.iter().map(tags_of).collect()
    }

    /// A network interface of the request, in the launch's subnet and groups unless it says otherwise; one that exists has its own.
    fn interface(
        &self,
        mut interface: InstanceNetworkInterfaceSpecification,
        subnet: Option<&str>,
    ) -> InstanceNetworkInterfaceSpecification {
        if interface.network_interface_id.is_none() {
            interface.groups.get_or_insert_with(|| self.groups.clone());
            interface.subnet_id = interface.subnet_id.or_else(|| subnet.map(str::to_owned));
            let has_own = interface.ipv6_address_count.is_some() || !interface.ipv6_addresses().is_empty();
            if self.wanted.ipv6 && interface.device_index == Some(0) && !has_own {
                interface.ipv6_address_count = Some(1);
            }
        }
        interface
    }

    /// The mappings of the request, those of the image's that must change, and the launch's own volumes: such that every volume ends
    /// with the machine, and the root is as wanted.
    fn mappings(&self, variant: Variant<'_>, mut mappings: Vec<BlockDeviceMapping>) -> Vec<BlockDeviceMapping> {
        let image = variant.image.described.as_ref();
        let root = image.and_then(|image| image.root_device_name());
        let wanted = &self.wanted.root;
        for mapping in image.into_iter().flat_map(|image| image.block_device_mappings()) {
            let Some(ebs) = mapping.ebs() else { continue };
            let is_known = mappings.iter().any(|other| other.device_name() == mapping.device_name());
            let is_as_wanted =
                ebs.delete_on_termination() == Some(true) && !(wanted.is_changed() && mapping.device_name() == root);
            if !is_known && !is_as_wanted {
                // Only what must change of it: EC2 knows the rest, and refuses parts of it.
                let ebs = EbsBlockDevice::builder().build();
                mappings
                    .push(BlockDeviceMapping::builder().set_device_name(mapping.device_name.clone()).ebs(ebs).build());
            }
        }
        for mapping in &mut mappings {
            let is_root = root.is_some() && mapping.device_name.as_deref() == root;
            if let Some(ebs) = &mut mapping.ebs {
                ebs.delete_on_termination = Some(true);
                if is_root {
                    ebs.volume_size = wanted.gib.or(ebs.volume_size);
                    ebs.encrypted = wanted.encrypted.then_some(true).or(ebs.encrypted);
                    ebs.kms_key_id = wanted.kms_key.clone().or_else(|| ebs.kms_key_id.take());
                }
            }
        }
        let volumes = self.wanted.volumes.iter().zip(self.devices_beside(variant, &mappings));
        // They were checked when the launch was specified.
        let own: Result<Vec<_>, Error> = volumes.map(|(volume, device)| volume.mapping(device, "")).collect();
        mappings.extend(own.unwrap_or_default());
        mappings
    }

    /// The devices of the launch's own volumes, in its order.
    pub(super) fn devices(&self, variant: Variant<'_>) -> Vec<String> {
        let request = self.customize.iter().fold(self.connection().client.run_instances(), |request, it| it(request));
        self.devices_beside(variant, request.get_block_device_mappings().as_deref().unwrap_or_default())
    }

    /// The same, beside mappings of the request: those that they name, else the next that are free.
    fn devices_beside(&self, variant: Variant<'_>, mappings: &[BlockDeviceMapping]) -> Vec<String> {
        let of_image = variant.image.described.iter().flat_map(|image| image.block_device_mappings());
        let names = of_image.chain(mappings).filter_map(|mapping| mapping.device_name.clone());
        let volumes = &self.wanted.volumes;
        let mut taken: Vec<String> = names.chain(volumes.iter().filter_map(|volume| volume.device.clone())).collect();
        let mut device = |chosen: &Option<String>| {
            // Where all letters are taken EC2 refuses the empty name, and says how many volumes there may be.
            let device = chosen.clone().or_else(|| free_device(&taken)).unwrap_or_default();
            taken.push(device.clone());
            device
        };
        volumes.iter().map(|volume| device(&volume.device)).collect()
    }
}

/// An instance profile, by its ARN or its name.
fn profile(profile: &str) -> IamInstanceProfileSpecification {
    let builder = IamInstanceProfileSpecification::builder();
    if profile.starts_with("arn:") { builder.arn(profile).build() } else { builder.name(profile).build() }
}

/// Spot, once: a request that would launch another one after an interruption would outlive its test.
fn spot() -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
}
