"""Instances."""

import base64

from beside import image
from provider import *


class Instance(Resource):
    """aws_instance"""

    ATTRIBUTES = ["disableApiStop", "disableApiTermination", "instanceInitiatedShutdownBehavior", "userData"]

    def __init__(self, subnet, groups, key, placement=None, template=None, interface=None, volumes=(), ipv6=0, profile=None):
        self.subnet, self.groups, self.key, self.placement, self.volumes = subnet, groups, key, placement, list(volumes)
        self.template, self.interface = template, interface
        # How many addresses of IPv6, and the names of two instance profiles, of which the second takes the place of the first.
        self.ipv6, self.profile = ipv6, profile

    def parameters(self):
        """What the provider always sends, whether it is configured or not, and what is."""
        interface = {"DeviceIndex": 0}
        if self.interface:
            interface |= {"NetworkCardIndex": 0, "NetworkInterfaceId": self.interface.id, "DeleteOnTermination": False}
        elif self.subnet:
            interface |= {"SubnetId": self.subnet.id, "Groups": [group.id for group in self.groups]}
            if self.ipv6:
                interface["Ipv6AddressCount"] = self.ipv6
        parameters = {
            "Placement": {"AvailabilityZone": "", **({"GroupName": self.placement.name} if self.placement else {})},
            "DisableApiTermination": True, "EbsOptimized": False, "HibernationOptions": {"Configured": False},
            "Monitoring": {"Enabled": False}, "NetworkInterfaces": [interface],
        }
        # Without a subnet of its own, it has the interfaces of its template.
        if not self.interface and not self.subnet:
            parameters.pop("NetworkInterfaces")
        if self.template:
            return parameters | {"LaunchTemplate": {"LaunchTemplateId": self.template.id, "Version": "$Default"}}
        # The root's name is looked up by the image.
        ami = image("blank")
        root = find(ec2.describe_images, "Images", ["InvalidAMIID.NotFound"], ImageIds=[ami])["RootDeviceName"]
        root = {"DeviceName": root, "Ebs": {"VolumeSize": 9, "VolumeType": "gp3", "DeleteOnTermination": True}}
        return parameters | {
            "ImageId": ami, "InstanceType": "t3.micro", "KeyName": self.key.name, "UserData": "#!/bin/sh\n",
            "CreditSpecification": {"CpuCredits": "unlimited"}, "InstanceInitiatedShutdownBehavior": "stop",
            "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "BlockDeviceMappings": [*self.volumes, root], "MaintenanceOptions": {"AutoRecovery": "default"},
            "PrivateDnsNameOptions": {"HostnameType": "ip-name", "EnableResourceNameDnsARecord": True},
            **({"IamInstanceProfile": {"Name": self.profile[0]}} if self.profile else {}),
        }

    def create(self):
        launched = patiently(
            ec2.run_instances,
            MinCount=1, MaxCount=1, ClientToken=f"terraform-{id(self)}",
            TagSpecifications=tagged("instance", "made") + tagged("volume", "made"), **self.parameters(),
        )
        self.id = launched["Instances"][0]["InstanceId"]
        self.wait_for("running")
        options = ["MaintenanceOptions", "MetadataOptions", "PrivateDnsNameOptions", "InstanceType", "KeyName"]
        asked = {name: value for name, value in self.parameters().items() if name in options}
        wait(self.found, lambda instance: holds(instance, asked))
        if not self.interface and self.subnet:
            # What is no parameter of a launch is changed after it.
            patiently(ec2.modify_instance_attribute, InstanceId=self.id, SourceDestCheck={"Value": False})
            wait(self.found, lambda instance: instance["SourceDestCheck"] is False)

    def wait_for(self, state):
        wait(self.looked, lambda instance: instance["State"]["Name"] == state)

    def looked(self):
        codes = ["InvalidInstanceID.NotFound"]
        reservations = listed(ec2.describe_instances, "Reservations", codes, InstanceIds=[self.id])
        if not reservations:
            raise Gone(self.id)
        return reservations[0]["Instances"][0]

    def found(self):
        instance = self.looked()
        if instance["State"]["Name"] == "terminated":
            raise Gone(self.id)
        return instance

    def read(self):
        instance = self.found()
        attached = [mapping["Ebs"]["VolumeId"] for mapping in instance["BlockDeviceMappings"]]
        volumes = ec2.describe_volumes(VolumeIds=attached)["Volumes"]
        assert len(volumes) == len(attached), (volumes, attached)
        if self.template and not self.subnet:
            # All that its template has several of.
            assert (len(instance["NetworkInterfaces"]), len(attached)) == (2, 3), instance
            assert instance["IamInstanceProfile"]["Arn"].endswith("/web"), instance
        return {
            "instance": instance,
            "vpc": find(ec2.describe_vpcs, "Vpcs", ["InvalidVpcID.NotFound"], VpcIds=[instance["VpcId"]])["IsDefault"],
            "template": self.launched_from(),
            "type": find(ec2.describe_instance_types, "InstanceTypes", InstanceTypes=[instance["InstanceType"]])["InstanceType"],
            "volumes": volumes,
            "of instance": listed(ec2.describe_volumes, "Volumes", Filters=filters(attachment__instance_id=self.id)),
            "root": find(ec2.describe_images, "Images", ImageIds=[instance["ImageId"]])["RootDeviceName"],
            "attributes": {
                name: plain(ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)) for name in self.ATTRIBUTES
            },
            "credits": self.credits(),
            "status": self.state(),
        }

    def credits(self):
        describe, codes = ec2.describe_instance_credit_specifications, ["InvalidInstanceID.NotFound"]
        return find(describe, "InstanceCreditSpecifications", codes, InstanceIds=[self.id])

    def launched_from(self):
        """The launch template, which only the tags tell."""
        of = lambda name: filters(resource_id=self.id, key=f"aws:ec2launchtemplate:{name}")
        tags = [tag for name in ["id", "version"] for tag in listed(ec2.describe_tags, "Tags", Filters=of(name))]
        if self.template:
            assert [tag["Value"] for tag in tags] == [self.template.id, "1"], tags
            return self.template.version("1")
        assert not tags, tags
        return None

    def state(self):
        return find(
            ec2.describe_instance_status, "InstanceStatuses", ["InvalidInstanceID.NotFound"],
            InstanceIds=[self.id], IncludeAllInstances=True,
        )["InstanceState"]

    def modify(self, **attribute):
        patiently(ec2.modify_instance_attribute, InstanceId=self.id, **attribute)

    def stop(self):
        patiently(ec2.stop_instances, InstanceIds=[self.id])
        self.wait_for("stopped")

    def start(self):
        patiently(ec2.start_instances, InstanceIds=[self.id])
        self.wait_for("running")

    def attribute(self, name, member):
        return ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)[member].get("Value")

    def change(self):
        retag(self, self.id)
        if self.template or self.interface:
            return
        self.change_profile()
        # Of several interfaces it would have to be said which: others' attachments are no part of it.
        if len(self.seen()["NetworkInterfaces"]) > 1:
            return
        self.modify(SourceDestCheck={"Value": True})
        primary = lambda: next(face for face in self.seen()["NetworkInterfaces"] if face["Attachment"]["DeviceIndex"] == 0)
        if self.ipv6:
            patiently(ec2.assign_ipv6_addresses, NetworkInterfaceId=primary()["NetworkInterfaceId"], Ipv6AddressCount=1)
            wait(lambda: len(primary()["Ipv6Addresses"]), lambda count: count == self.ipv6 + 1)
        patiently(
            ec2.modify_network_interface_attribute,
            NetworkInterfaceId=primary()["NetworkInterfaceId"], Groups=[self.groups[0].id],
        )
        # The type and the user data, each between a stop and a start of its own.
        for change, look, value in [
            ({"InstanceType": {"Value": "t3.small"}}, lambda: self.found()["InstanceType"], "t3.small"),
            (
                {"UserData": {"Value": b"#!/bin/sh\n: changed\n"}},
                lambda: base64.b64decode(self.attribute("userData", "UserData")), b"#!/bin/sh\n: changed\n",
            ),
        ]:
            self.stop()
            self.modify(**change)
            self.start()
            wait(look, lambda now: now == value)
        for name, parameter, value in [
            ("disableApiStop", "DisableApiStop", True), ("disableApiTermination", "DisableApiTermination", False),
            ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior", "terminate"),
        ]:
            self.modify(**{parameter: {"Value": value}})
            wait(lambda: self.attribute(name, parameter), lambda now: now == value)
        patiently(ec2.modify_instance_maintenance_options, InstanceId=self.id, AutoRecovery="disabled")
        wait(lambda: self.found()["MaintenanceOptions"]["AutoRecovery"], lambda now: now == "disabled")
        patiently(ec2.monitor_instances, InstanceIds=[self.id])
        wait(lambda: self.found()["Monitoring"]["State"], lambda now: now in ["enabled", "pending"])
        patiently(
            ec2.modify_instance_credit_specification,
            InstanceCreditSpecifications=[{"InstanceId": self.id, "CpuCredits": "standard"}],
        )
        wait(lambda: self.credits()["CpuCredits"], lambda now: now == "standard")
        options = {"HttpEndpoint": "enabled", "HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled"}
        patiently(ec2.modify_instance_metadata_options, InstanceId=self.id, **options)
        wait(lambda: self.found()["MetadataOptions"], lambda now: now["State"] == "applied" and options.items() <= now.items())
        now = self.seen()
        root = next(one for one in now["BlockDeviceMappings"] if one["DeviceName"] == now["RootDeviceName"])
        patiently(ec2.modify_volume, VolumeId=root["Ebs"]["VolumeId"], Size=10)
        wait_for_modification(root["Ebs"]["VolumeId"])
        for value in [False, True]:
            self.modify(BlockDeviceMappings=[{"DeviceName": root["DeviceName"], "Ebs": {"DeleteOnTermination": value}}])
            mapping = lambda: next(one for one in self.found()["BlockDeviceMappings"] if one["DeviceName"] == root["DeviceName"])
            wait(mapping, lambda one: one["Ebs"]["DeleteOnTermination"] == value)
        patiently(ec2.modify_private_dns_name_options, InstanceId=self.id, EnableResourceNameDnsARecord=False)
        wait(lambda: self.found()["PrivateDnsNameOptions"], lambda now: now["EnableResourceNameDnsARecord"] is False)

    def change_profile(self):
        if not self.profile:
            return
        [bond] = ec2.describe_iam_instance_profile_associations(Filters=filters(instance_id=self.id))["IamInstanceProfileAssociations"]
        patiently(
            ec2.replace_iam_instance_profile_association,
            AssociationId=bond["AssociationId"], IamInstanceProfile={"Name": self.profile[1]},
        )
        wait(self.found, lambda instance: instance["IamInstanceProfile"]["Arn"].endswith(f"/{self.profile[1]}"))

    def destroy(self):
        self.modify(DisableApiTermination={"Value": False})
        self.modify(DisableApiStop={"Value": False})
        delete(ec2.terminate_instances, ["InvalidInstanceID.NotFound"], InstanceIds=[self.id])
        wait_gone(self.found)


def wait_for_modification(volume):
    look = lambda: find(ec2.describe_volumes_modifications, "VolumesModifications", ["InvalidVolume.NotFound"], VolumeIds=[volume])
    wait(look, lambda found: found["ModificationState"] in ["optimizing", "completed"])


class SpotInstanceRequest(Resource):
    """aws_spot_instance_request, whose instance is ended with it"""

    def __init__(self, subnet, groups, key):
        self.subnet, self.groups, self.key = subnet, groups, key

    def create(self):
        interface = {"DeviceIndex": 0, "SubnetId": self.subnet.id, "Groups": [group.id for group in self.groups]}
        made = patiently(
            ec2.request_spot_instances,
            ClientToken=f"spot-{id(self)}", InstanceCount=1, InstanceInterruptionBehavior="terminate", Type="persistent", SpotPrice="",
            TagSpecifications=tagged("spot-instances-request", "made"),
            LaunchSpecification={
                "EbsOptimized": False, "ImageId": image("blank"), "InstanceType": "t3.micro", "KeyName": self.key.name,
                "Monitoring": {"Enabled": True}, "NetworkInterfaces": [interface], "Placement": {"AvailabilityZone": ""},
                "IamInstanceProfile": {"Name": "web"}, "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
                "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}}],
            },
        )
        self.id = made["SpotInstanceRequests"][0]["SpotInstanceRequestId"]
        wait(self.found, lambda request: request["Status"]["Code"] == "fulfilled")

    def found(self):
        describe, codes = ec2.describe_spot_instance_requests, ["InvalidSpotInstanceRequestID.NotFound"]
        request = find(describe, "SpotInstanceRequests", codes, SpotInstanceRequestIds=[self.id])
        if request["State"] in ["cancelled", "closed"]:
            raise Gone(self.id)
        return request

    def instance(self):
        instance = Instance(self.subnet, self.groups, self.key)
        instance.id = self.seen()["InstanceId"]
        return instance

    def read(self):
        instance = self.instance().found()
        attached = [mapping["Ebs"]["VolumeId"] for mapping in instance["BlockDeviceMappings"]]
        volumes = ec2.describe_volumes(VolumeIds=attached)["Volumes"]
        assert len(volumes) == len(attached) == 2, (volumes, attached)
        return {"request": self.found(), "instance": instance, "volumes": volumes}

    def change(self):
        retag(self, self.id)

    def destroy(self):
        instance = self.instance()
        patiently(ec2.cancel_spot_instance_requests, SpotInstanceRequestIds=[self.id])
        delete(ec2.terminate_instances, ["InvalidInstanceID.NotFound"], InstanceIds=[instance.id])
        wait_gone(instance.found)
        wait_gone(self.found)
