"""Volumes, snapshots and images."""

from instances import wait_for_modification
from provider import *


class Volume(Resource):
    """aws_ebs_volume"""

    def __init__(self, zone, **shape):
        self.zone, self.shape = zone, shape

    def create(self):
        shape = {name: value() if callable(value) else value for name, value in self.shape.items()}
        made = patiently(
            ec2.create_volume,
            AvailabilityZone=self.zone, ClientToken=f"volume-{id(self)}", TagSpecifications=tagged("volume", "made"), **shape,
        )
        self.id = made["VolumeId"]
        wait(self.found, lambda volume: volume["State"] == "available")

    def looked(self):
        return find(ec2.describe_volumes, "Volumes", ["InvalidVolume.NotFound"], VolumeIds=[self.id])

    def found(self):
        volume = self.looked()
        if volume["State"] == "deleted":
            raise Gone(self.id)
        return volume

    def read(self):
        return self.found()

    def change(self):
        patiently(ec2.modify_volume, VolumeId=self.id, Size=self.seen()["Size"] + 1, VolumeType="gp3", Iops=3100, Throughput=130)
        wait_for_modification(self.id)
        wait(self.found, lambda volume: (volume.get("Iops"), volume.get("Throughput")) == (3100, 130))
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_volume, ["InvalidVolume.NotFound"], ["VolumeInUse"], VolumeId=self.id)
        wait_gone(self.found)


class VolumeAttachment(Resource):
    """aws_volume_attachment"""

    def __init__(self, volume, instance, device):
        self.volume, self.instance, self.device = volume, instance, device

    def create(self):
        # One that is there already is adopted.
        try:
            raise AssertionError(self.read())
        except Gone:
            pass
        self.instance.wait_for("running")
        patiently(ec2.attach_volume, **self.named())
        wait(self.read, lambda attachment: attachment["State"] == "attached")

    def named(self):
        return {"Device": self.device, "InstanceId": self.instance.id, "VolumeId": self.volume.id}

    def read(self):
        query = filters(attachment__device=self.device, attachment__instance_id=self.instance.id)
        codes = ["InvalidVolume.NotFound"]
        volume = find(ec2.describe_volumes, "Volumes", codes, Filters=query, VolumeIds=[self.volume.id])
        if volume["State"] in ["available", "deleted"]:
            raise Gone(self.volume.id)
        for attachment in volume["Attachments"]:
            if (attachment["Device"], attachment["InstanceId"]) == (self.device, self.instance.id):
                if attachment["State"] == "detached":
                    raise Gone(self.volume.id)
                return attachment
        raise Gone(self.volume.id)

    def destroy(self):
        delete(ec2.detach_volume, ["InvalidVolume.NotFound", "IncorrectState"], Force=False, **self.named())
        wait_gone(self.read)


class Snapshot(Resource):
    """aws_ebs_snapshot"""

    def __init__(self, volume):
        self.volume = volume

    def create(self):
        made = patiently(
            ec2.create_snapshot,
            VolumeId=self.volume(), Description="made", TagSpecifications=tagged("snapshot", "made"),
        )
        self.finish(made["SnapshotId"])

    def finish(self, id):
        self.id = id
        wait(self.found, lambda snapshot: snapshot["State"] == "completed")

    def found(self):
        return find(ec2.describe_snapshots, "Snapshots", ["InvalidSnapshot.NotFound"], SnapshotIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_snapshot, ["InvalidSnapshot.NotFound"], ["InvalidSnapshot.InUse"], SnapshotId=self.id)
        wait_gone(self.found)


class SnapshotCopy(Snapshot):
    """aws_ebs_snapshot_copy"""

    def __init__(self, source):
        self.source = source

    def create(self):
        made = patiently(
            ec2.copy_snapshot,
            SourceRegion=ec2.meta.region_name, SourceSnapshotId=self.source.id, Description="copied", Encrypted=True,
            TagSpecifications=tagged("snapshot", "made"),
        )
        self.finish(made["SnapshotId"])


class Ami(Resource):
    """aws_ami, and what the others have in common with it"""

    has_snapshots = False

    def __init__(self, name, snapshot):
        self.name, self.snapshot = name, snapshot

    def make(self):
        mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": self.snapshot.id, "DeleteOnTermination": True, "VolumeType": "gp3"}}
        return patiently(
            ec2.register_image,
            Name=self.name, Description="", ImageLocation="", Architecture="x86_64", RootDeviceName="/dev/xvda", SriovNetSupport="simple",
            VirtualizationType="hvm", EnaSupport=True, BlockDeviceMappings=[mapping], TagSpecifications=tagged("image", "made"),
        )

    def create(self):
        self.id = self.make()["ImageId"]
        wait(self.found, lambda image: image["State"] == "available")

    def found(self):
        image = find(ec2.describe_images, "Images", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"], ImageIds=[self.id])
        if image["State"] == "deregistered":
            raise Gone(self.id)
        return image

    def read(self):
        return self.found()

    def change(self):
        patiently(ec2.modify_image_attribute, ImageId=self.id, Description={"Value": "changed"})
        wait(self.found, lambda image: image["Description"] == "changed")
        deprecated = f"{time.gmtime().tm_year + 1}-01-01T00:00:00.000Z"
        patiently(ec2.enable_image_deprecation, ImageId=self.id, DeprecateAt=deprecated)
        wait(self.found, lambda image: image.get("DeprecationTime") == deprecated)
        patiently(ec2.disable_image_deprecation, ImageId=self.id)
        wait(self.found, lambda image: "DeprecationTime" not in image)
        retag(self, self.id)

    def destroy(self):
        made = [mapping["Ebs"]["SnapshotId"] for mapping in self.seen()["BlockDeviceMappings"] if "Ebs" in mapping]
        delete(ec2.deregister_image, ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"], ImageId=self.id)
        for snapshot in made if self.has_snapshots else []:
            delete(ec2.delete_snapshot, ["InvalidSnapshot.NotFound"], ["InvalidSnapshot.InUse"], SnapshotId=snapshot)
        wait_gone(self.found)


class AmiFromInstance(Ami):
    """aws_ami_from_instance"""

    has_snapshots = True

    def __init__(self, name, instance):
        self.name, self.instance = name, instance

    def make(self):
        return patiently(
            ec2.create_image,
            InstanceId=self.instance.id, Name=self.name, Description="", NoReboot=True, TagSpecifications=tagged("image", "made"),
        )


class AmiCopy(Ami):
    """aws_ami_copy"""

    has_snapshots = True

    def __init__(self, name, source):
        self.name, self.source = name, source

    def make(self):
        return patiently(
            ec2.copy_image,
            Name=self.name, Description="", SourceImageId=self.source.id, SourceRegion=ec2.meta.region_name, Encrypted=False,
            ClientToken=f"image-{id(self)}", TagSpecifications=tagged("image", "made"),
        )
