"""What libcloud's driver of EC2 offers, unmodified and on its defaults, with all that it makes removed by it again: nodes, images, volumes,
snapshots, keys, groups, addresses, networks.

    eval "$(ec2-local env)"
    python3 libcloud_driver.py
"""

import os
import time
import urllib.parse

from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider, StorageVolumeState, VolumeSnapshotState
from patience import PATIENCE, until

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5"
ENDPOINT = urllib.parse.urlparse(os.environ["AWS_ENDPOINT_URL_EC2"])

ec2 = get_driver(Provider.EC2)(
    os.environ["AWS_ACCESS_KEY_ID"],
    os.environ["AWS_SECRET_ACCESS_KEY"],
    secure=False,
    host=ENDPOINT.hostname,
    port=ENDPOINT.port,
    region="us-east-1",
)


def is_on_its_way(error):
    """Whether what was asked for can't be yet: libcloud waits for nothing but nodes that run, and has words of its own for errors."""
    words = ["NotFound", "DoesNotExist", "does not exist", "IncorrectInstanceState", "IncorrectState", "VolumeInUse", "DependencyViolation", "InUse", "currently in use"]
    return isinstance(error, AssertionError) or any(word in f"{error!r} {error}" for word in words)


def patiently(call, *arguments, **named):
    return until(lambda: call(*arguments, **named), is_on_its_way)


def holds(condition):
    def attempt():
        assert condition()

    until(attempt)


def the(items, id, by="id"):
    """The one of a list that bears an id."""
    [item] = [item for item in items if getattr(item, by) == id]
    return item


def look_around():
    locations = ec2.list_locations()
    zones = {location.availability_zone.name for location in locations}
    limits = ec2.ex_get_limits()["resource"]
    assert limits["max-instances"] and limits["vpc-max-elastic-ips"], limits
    assert "us-east-1a" in zones
    assert {zone.name for zone in ec2.ex_list_availability_zones()} == zones
    assert "us-east-1" in ec2.list_regions()
    # Nobody has bought any.
    assert ec2.ex_list_reserved_nodes() == []
    assert [network.extra["is_default"] for network in ec2.ex_list_networks()] == ["true"]
    assert len(ec2.ex_list_subnets()) == len(zones)
    assert ec2.ex_list_security_groups() == ["default"]
    image = the(ec2.list_images(ex_owner="amazon"), "blank", by="name")
    assert ec2.get_image(image.id).name == "blank"
    return image, the(ec2.list_sizes(), "t3.micro"), locations[0]


def keys():
    made = ec2.create_key_pair("made")
    assert made.private_key.startswith("-----BEGIN")
    ec2.import_key_pair_from_string("imported", KEY)
    holds(lambda: {key.name for key in ec2.list_key_pairs()} == {"made", "imported"})
    older_keys()
    return [patiently(ec2.get_key_pair, name) for name in ["made", "imported"]]


def older_keys():
    """By the calls that the driver has had before, and still has."""
    with open("key.pub", "w") as file:
        file.write(KEY)
    ec2.import_key_pair_from_file("filed", "key.pub")
    ec2.ex_import_keypair("older file", "key.pub")
    ec2.ex_import_keypair_from_string("older text", KEY)
    assert ec2.ex_create_keypair("older")["keyMaterial"].startswith("-----BEGIN")
    by_material = ec2.ex_find_or_import_keypair_by_key_material(f"{KEY} comment")["keyName"]
    names = {"filed", "older file", "older text", "older", by_material}
    holds(lambda: names < set(ec2.ex_describe_all_keypairs()) and names < {key["keyName"] for key in ec2.ex_list_keypairs()})
    for describe in [ec2.ex_describe_keypair, ec2.ex_describe_keypairs]:
        assert describe("older")["keyName"] == "older"
    for name in names:
        assert ec2.ex_delete_keypair(name)


def group(network=None):
    made = ec2.ex_create_security_group("libcloud", "of libcloud", vpc_id=network and network.id)
    id = made["group_id"]
    assert patiently(ec2.ex_authorize_security_group_ingress, id, 22, 22, cidr_ips=["192.0.2.0/24"])
    assert patiently(ec2.ex_authorize_security_group_egress, id, 80, 80, cidr_ips=["192.0.2.0/24"])
    [found] = patiently(ec2.ex_get_security_groups, group_ids=[id])
    assert found.ingress_rules[0]["cidr_ips"] == ["192.0.2.0/24"]
    assert patiently(ec2.ex_revoke_security_group_ingress, id, 22, 22, cidr_ips=["192.0.2.0/24"])
    assert patiently(ec2.ex_revoke_security_group_egress, id, 80, 80, cidr_ips=["192.0.2.0/24"])
    named_groups()
    return id


def named_groups():
    """Those of the default VPC, which have names there."""
    made = ec2.ex_create_security_group("open", "open to everybody")
    assert len(patiently(ec2.ex_authorize_security_group_permissive, "open")) == 3
    [found] = patiently(ec2.ex_get_security_groups, group_ids=[made["group_id"]])
    assert {rule["protocol"] for rule in found.ingress_rules} == {"tcp", "udp", "icmp"}
    assert patiently(ec2.ex_delete_security_group_by_name, "open")


def network():
    made = ec2.ex_create_network("10.9.0.0/16", name="libcloud")
    subnet = patiently(ec2.ex_create_subnet, made.id, "10.9.1.0/24", "us-east-1a", name="libcloud")
    patiently(ec2.ex_modify_subnet_attribute, subnet, "auto_public_ip", True)
    gateway = ec2.ex_create_internet_gateway(name="libcloud")
    assert patiently(ec2.ex_attach_internet_gateway, gateway, made)
    table = patiently(ec2.ex_create_route_table, made, name="libcloud")
    assert patiently(ec2.ex_create_route, table, "0.0.0.0/0", internet_gateway=gateway)
    assert patiently(ec2.ex_replace_route, table, "0.0.0.0/0", internet_gateway=gateway)
    association = patiently(ec2.ex_associate_route_table, table, subnet)
    other = patiently(ec2.ex_create_route_table, made, name="other")
    for now in [other, table]:
        association = patiently(ec2.ex_replace_route_table_association, association, now)
    assert patiently(ec2.ex_delete_route_table, other)
    [shown] = patiently(ec2.ex_list_route_tables, route_table_ids=[table.id])
    assert [bond.id for bond in shown.subnet_associations] == [association]
    [shown] = patiently(ec2.ex_list_internet_gateways, gateway_ids=[gateway.id])
    assert shown.vpc_id == made.id
    return made, subnet, gateway, table, association


def no_network(made, subnet, gateway, table, association):
    assert patiently(ec2.ex_dissociate_route_table, association)
    assert patiently(ec2.ex_delete_route, table, "0.0.0.0/0")
    assert patiently(ec2.ex_delete_route_table, table)
    assert patiently(ec2.ex_detach_internet_gateway, gateway, made)
    assert patiently(ec2.ex_delete_internet_gateway, gateway)
    assert patiently(ec2.ex_delete_subnet, subnet)
    assert patiently(ec2.ex_delete_network, made)


def launch(image, size, location, key, group, subnet):
    plain = patiently(ec2.create_node, name="plain", size=size, image=image, location=location, ex_keyname=key.name, ex_metadata={"for": "libcloud"})
    networked = patiently(
        ec2.create_node, name="networked", size=size, image=image, ex_subnet=subnet, ex_security_group_ids=[group], ex_assign_public_ip=True,
        ex_userdata="#!/bin/sh\n", ex_terminate_on_shutdown=True,
        ex_blockdevicemappings=[{"DeviceName": "/dev/sdf", "Ebs.VolumeSize": 2, "Ebs.VolumeType": "gp3"}],
    )
    [(plain, addresses), (networked, more)] = ec2.wait_until_running([plain, networked], wait_period=0.1, timeout=PATIENCE)
    assert addresses and more
    assert {node.name for node in ec2.list_nodes()} == {"plain", "networked"}
    assert ec2.ex_describe_tags(plain) == {"Name": "plain", "for": "libcloud"}
    assert ec2.ex_get_metadata_for_node(the(ec2.list_nodes(), plain.id)) == {"Name": "plain", "for": "libcloud"}
    assert patiently(ec2.ex_create_tags, plain, {"more": "tags"}) and ec2.ex_delete_tags(plain, {"more": "tags"})
    assert ec2.ex_get_console_output(plain)["instance_id"] == plain.id
    assert ec2.ex_modify_instance_attribute(plain, {"DisableApiTermination.Value": "false"})
    return plain, networked


def power(node):
    assert ec2.stop_node(node)
    holds(lambda: the(ec2.list_nodes(), node.id).state == NodeState.STOPPED)
    assert ec2.ex_change_node_size(node, the(ec2.list_sizes(), "t3.small"))
    assert ec2.start_node(node)
    holds(lambda: the(ec2.list_nodes(), node.id).state == NodeState.RUNNING)
    assert ec2.reboot_node(node)
    assert ec2.ex_stop_node(node)
    holds(lambda: the(ec2.list_nodes(), node.id).state == NodeState.STOPPED)
    assert ec2.ex_start_node(node)
    holds(lambda: the(ec2.list_nodes(), node.id).state == NodeState.RUNNING)


def addresses(node):
    address = ec2.ex_allocate_address(domain="vpc")
    for associate in [ec2.ex_associate_address_with_node, ec2.ex_associate_addresses]:
        patiently(associate, node, address)
    assert ec2.ex_describe_addresses_for_node(node) == [address.ip]
    [shown] = ec2.ex_describe_all_addresses()
    assert ec2.ex_disassociate_address(shown, domain="vpc")
    assert ec2.ex_release_address(shown, domain="vpc")


def interface(node, subnet):
    made = ec2.ex_create_network_interface(subnet, name="libcloud", description="of libcloud")
    assert the(ec2.ex_list_network_interfaces(), made.id).name == "libcloud"
    attachment = patiently(ec2.ex_attach_network_interface_to_node, made, node, 1)
    assert patiently(ec2.ex_detach_network_interface, attachment)
    assert patiently(ec2.ex_delete_network_interface, made)


def storage(node, location):
    volume = ec2.create_volume(1, "libcloud", location=location, ex_volume_type="gp3")
    holds(lambda: the(ec2.list_volumes(), volume.id).state == StorageVolumeState.AVAILABLE)
    assert patiently(ec2.attach_volume, node, volume, "/dev/sdg")
    holds(lambda: the(ec2.list_volumes(node), volume.id).state == StorageVolumeState.INUSE)
    snapshot = patiently(ec2.create_volume_snapshot, volume, "libcloud")
    holds(lambda: the(ec2.list_snapshots(owner="self"), snapshot.id).state == VolumeSnapshotState.AVAILABLE)
    assert [shown.id for shown in ec2.list_volume_snapshots(volume)] == [snapshot.id]
    copied = patiently(ec2.create_volume, 2, "copy", location=location, snapshot=snapshot)
    modification = patiently(ec2.ex_modify_volume, volume, {"Size": 3})
    assert modification.target_size == 3
    [shown] = patiently(ec2.ex_describe_volumes_modifications, volume_ids=[volume.id])
    assert (shown.volume_id, shown.original_size, shown.target_size) == (volume.id, 1, 3)
    everybody = {"Attribute": "createVolumePermission", "UserGroup.1": "all"}
    for operation in ["add", "remove"]:
        assert patiently(ec2.ex_modify_snapshot_attribute, snapshot, everybody | {"OperationType": operation})
    assert patiently(ec2.detach_volume, volume)
    for one in [volume, copied]:
        assert patiently(ec2.destroy_volume, one)
    assert patiently(ec2.destroy_volume_snapshot, snapshot)


def images(node):
    made = patiently(ec2.create_image, node, "libcloud", description="of libcloud")
    holds(lambda: the(ec2.list_images(ex_owner="self"), made.id).extra["state"] == "available")
    assert patiently(ec2.ex_modify_image_attribute, made, {"Description.Value": "changed"})
    holds(lambda: the(ec2.list_images(ex_owner="self"), made.id).extra["description"] == "changed")
    copied = patiently(ec2.copy_image, made, "us-east-1", name="copied", description="of an image")
    holds(lambda: the(ec2.list_images(ex_owner="self"), copied.id).extra["state"] == "available")
    snapshots = [snapshot.id for snapshot in ec2.list_snapshots(owner="self")]
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshots[0]}}
    registered = patiently(
        ec2.ex_register_image, "registered", architecture="x86_64", root_device_name="/dev/xvda", block_device_mapping=[disk],
        virtualization_type="hvm",
    )
    for image in [made, copied, registered]:
        assert patiently(ec2.delete_image, image)
    for snapshot in ec2.list_snapshots(owner="self"):
        assert patiently(ec2.destroy_volume_snapshot, snapshot)
    assert snapshots


begun = time.monotonic()


def step(name):
    print(f"{time.monotonic() - begun:6.1f} s  {name}", flush=True)


image, size, location = look_around()
step("look_around")
pairs = keys()
step("keys")
net = network()
step("network")
id = group(net[0])
step("group")
assert ec2.ex_create_placement_group("libcloud")
holds(lambda: [found.name for found in ec2.ex_list_placement_groups()] == ["libcloud"])
assert ec2.ex_delete_placement_group("libcloud")
step("placement")
plain, networked = launch(image, size, location, pairs[0], id, net[1])
step("launch")
power(plain)
step("power")
addresses(plain)
step("addresses")
interface(networked, net[1])
step("interface")
storage(plain, location)
step("storage")
images(plain)
step("images")
for node in [plain, networked]:
    assert ec2.destroy_node(node)
holds(lambda: all(node.state == NodeState.TERMINATED for node in ec2.list_nodes()))
for pair in pairs:
    assert ec2.delete_key_pair(pair)
assert patiently(ec2.ex_delete_security_group_by_id, id)
no_network(*net)
step("nothing is left")
