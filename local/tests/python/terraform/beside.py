"""What instances are launched with, and what is attached to them."""

from provider import *


def image(name):
    """The data source aws_ami."""
    found = ec2.describe_images(Owners=["amazon"], Filters=filters(name=name), IncludeDeprecated=False)["Images"]
    assert len(found) == 1, found
    return found[0]["ImageId"]


class KeyPair(Resource):
    """aws_key_pair"""

    KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5"

    def __init__(self, name):
        self.name = name

    def create(self):
        made = ec2.import_key_pair(KeyName=self.name, PublicKeyMaterial=self.KEY, TagSpecifications=tagged("key-pair", "made"))
        self.id = made["KeyPairId"]

    def found(self):
        return find(ec2.describe_key_pairs, "KeyPairs", ["InvalidKeyPair.NotFound"], KeyNames=[self.name])

    def read(self):
        return self.found()

    def change(self):
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_key_pair, ["InvalidKeyPair.NotFound"], KeyName=self.name)
        wait_gone(self.found)


class PlacementGroup(Resource):
    """aws_placement_group"""

    def __init__(self, name, **shape):
        self.name, self.shape = name, shape

    def create(self):
        ec2.create_placement_group(GroupName=self.name, TagSpecifications=tagged("placement-group", "made"), **self.shape)
        self.id = wait(self.found, lambda group: group["State"] == "available")["GroupId"]

    def found(self):
        codes = ["InvalidPlacementGroup.Unknown"]
        group = find(ec2.describe_placement_groups, "PlacementGroups", codes, GroupNames=[self.name])
        if group["State"] == "deleted":
            raise Gone(self.name)
        return group

    def read(self):
        return self.found()

    def change(self):
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_placement_group, ["InvalidPlacementGroup.Unknown"], GroupName=self.name)
        wait_gone(self.found)


class LaunchTemplate(Resource):
    """aws_launch_template"""

    def __init__(self, name, key, groups, blocks=lambda: {}):
        self.name, self.key, self.groups, self.blocks = name, key, groups, blocks

    def data(self, **more):
        mapping = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "gp3", "DeleteOnTermination": True}}
        return {
            "UserData": "", "ImageId": image("blank"), "InstanceType": "t3.micro", "KeyName": self.key.name,
            "BlockDeviceMappings": [mapping], "CreditSpecification": {"CpuCredits": "standard"},
            "MetadataOptions": {"HttpTokens": "required"}, "Monitoring": {"Enabled": False},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "template", "Value": "yes"}]}],
            **self.blocks(), **more,
        }

    def create(self):
        made = patiently(
            ec2.create_launch_template,
            LaunchTemplateName=self.name, ClientToken=f"template-{id(self)}", LaunchTemplateData=self.data(),
            TagSpecifications=tagged("launch-template", "made"),
        )
        self.id = made["LaunchTemplate"]["LaunchTemplateId"]
        asked = {name: value for name, value in self.data().items() if value != ""}
        wait(lambda: self.version("1")["LaunchTemplateData"], lambda found: holds(found, asked))

    def found(self):
        codes = ["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed", "InvalidLaunchTemplateName.NotFoundException"]
        return find(ec2.describe_launch_templates, "LaunchTemplates", codes, LaunchTemplateIds=[self.id])

    def version(self, number):
        codes = ["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.VersionNotFound"]
        describe = ec2.describe_launch_template_versions
        return find(describe, "LaunchTemplateVersions", codes, LaunchTemplateId=self.id, Versions=[number])

    def read(self):
        template = self.found()
        return {"template": template, "latest": self.version(str(template["LatestVersionNumber"]))}

    def change(self):
        spot = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
        patiently(
            ec2.create_launch_template_version,
            LaunchTemplateId=self.id, ClientToken=f"version-{id(self)}",
            LaunchTemplateData=self.data(InstanceType="t3.small", InstanceMarketOptions=spot),
        )
        patiently(ec2.modify_launch_template, LaunchTemplateId=self.id, DefaultVersion="2")
        wait(self.found, lambda found: (found["DefaultVersionNumber"], found["LatestVersionNumber"]) == (2, 2))
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_launch_template, ["InvalidLaunchTemplateId.NotFound"], LaunchTemplateId=self.id)
        wait_gone(self.found)


class NetworkInterface(Resource):
    """aws_network_interface"""

    def __init__(self, subnet, groups):
        self.subnet, self.groups = subnet, groups

    def create(self):
        made = patiently(
            ec2.create_network_interface,
            SubnetId=self.subnet.id, Description="made", Groups=[group.id for group in self.groups],
            ClientToken=f"interface-{id(self)}", SecondaryPrivateIpAddressCount=1,
            TagSpecifications=tagged("network-interface", "made"), **self.parameters(),
        )
        self.id = made["NetworkInterface"]["NetworkInterfaceId"]
        wait(self.found, lambda face: face["Status"] == "available")
        self.modify(SourceDestCheck={"Value": False})

    def parameters(self):
        """What else is asked for."""
        return {}

    def modify(self, **attribute):
        patiently(ec2.modify_network_interface_attribute, NetworkInterfaceId=self.id, **attribute)

    def found(self):
        codes = ["InvalidNetworkInterfaceID.NotFound"]
        return find(ec2.describe_network_interfaces, "NetworkInterfaces", codes, NetworkInterfaceIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        secondary = [one["PrivateIpAddress"] for one in self.seen()["PrivateIpAddresses"] if not one["Primary"]]
        patiently(ec2.unassign_private_ip_addresses, NetworkInterfaceId=self.id, PrivateIpAddresses=secondary)
        patiently(ec2.assign_private_ip_addresses, NetworkInterfaceId=self.id, SecondaryPrivateIpAddressCount=1)
        self.modify(SourceDestCheck={"Value": True})
        self.modify(Groups=[self.groups[0].id])
        self.modify(Description={"Value": "changed"})
        is_changed = lambda face: (len(face["PrivateIpAddresses"]), face["Description"], face["SourceDestCheck"])
        wait(self.found, lambda face: is_changed(face) == (2, "changed", True))
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_network_interface, ["InvalidNetworkInterfaceID.NotFound"], NetworkInterfaceId=self.id)
        wait_gone(self.found)


class NetworkInterfaceAttachment(Resource):
    """aws_network_interface_attachment"""

    def __init__(self, interface, instance):
        self.interface, self.instance = interface, instance

    def create(self):
        named = {"NetworkInterfaceId": self.interface.id, "InstanceId": self.instance.id}
        self.id = patiently(ec2.attach_network_interface, DeviceIndex=1, **named)["AttachmentId"]
        wait(self.interface.found, lambda face: face.get("Attachment", {}).get("Status") == "attached")

    def read(self):
        codes = ["InvalidNetworkInterfaceID.NotFound"]
        query = filters(attachment__attachment_id=self.id)
        face = find(ec2.describe_network_interfaces, "NetworkInterfaces", codes, Filters=query)
        return face["Attachment"]

    def destroy(self):
        delete(ec2.detach_network_interface, ["InvalidAttachmentID.NotFound"], AttachmentId=self.id, Force=True)

        def attachment():
            found = self.interface.found().get("Attachment")
            if not found or found["Status"] == "detached":
                raise Gone(self.id)
            return found

        wait_gone(attachment)
        wait(self.interface.found, lambda face: face["Status"] == "available")


class EipAssociation(Resource):
    """aws_eip_association"""

    def __init__(self, eip, **to):
        self.eip, self.to = eip, to

    def create(self):
        to = {name: resource.id for name, resource in self.to.items()}
        self.id = patiently(ec2.associate_address, AllocationId=self.eip.id, AllowReassociation=True, **to)["AssociationId"]
        wait(self.read, lambda address: True)

    def read(self):
        codes = ["InvalidAssociationID.NotFound", "InvalidAddress.NotFound"]
        address = find(ec2.describe_addresses, "Addresses", codes, Filters=filters(association_id=self.id))
        return address

    def destroy(self):
        delete(ec2.disassociate_address, ["InvalidAssociationID.NotFound"], AssociationId=self.id)
        wait_gone(self.read)
