"""A machine's life with pycloudlib, unmodified and on its defaults, at the endpoint that the environment names: keys, a launch, commands, files,
power, volumes, interfaces, and an image of what was written.

    eval "$(ec2-local env)"
    python3 pycloudlib_machine.py
"""

import pycloudlib_way as way

ec2 = way.ec2
USER_DATA = "#cloud-config\nwrite_files:\n  - {path: /etc/by-user-data, content: written}\n"


def keys(cloud):
    for name in ["uploaded", "another"]:
        cloud.upload_key("key.pub", "key", name)
        assert cloud.key_pair.name == name and name in cloud.list_keys()
    cloud.delete_key("another")
    cloud.created_keys.remove("another")
    assert cloud.list_keys() == ["uploaded"]
    cloud.use_key("key.pub", "key", "uploaded")


def commands(instance):
    assert instance.execute("cat /etc/by-user-data") == "written"
    assert instance.execute(["id", "-un"]) == way.USER
    assert instance.execute("id -un", use_sudo=True) == "root"
    failed = instance.execute("echo said; echo complained >&2; exit 3")
    assert (failed.stdout, failed.stderr, failed.return_code) == ("said", "complained", 3), failed
    assert instance.execute("cat", stdin="fed") == "fed"
    script = instance.run_script("#!/bin/sh\necho by a script of $(hostname)\n")
    assert script.ok and script.startswith("by a script of ip-"), script
    assert instance.execute("tty", get_pty=True).startswith("/dev/pts/")
    assert "BEGIN SSH HOST KEY KEYS" in instance.console_log()


def files(instance):
    content = bytes(range(256)) * 4096
    with open("pushed", "wb") as file:
        file.write(content)
    instance.push_file("pushed", "/tmp/pushed")
    instance.pull_file("/tmp/pushed", "pulled")
    with open("pulled", "rb") as file:
        assert file.read() == content


def power(instance):
    boots = [instance.get_boot_id()]
    instance.execute("echo kept >/var/tmp/kept")
    instance.restart()
    boots.append(instance.get_boot_id())
    before = instance.ip
    instance.shutdown()
    assert instance.ip is None
    instance.start()
    boots.append(instance.get_boot_id())
    assert len(set(map(str, boots))) == 3, boots
    assert instance.ip and instance.ip != before
    assert instance.execute("cat /var/tmp/kept") == "kept"


def volume(instance):
    instance.add_volume(size=1, drive_type="gp3")
    instance._instance.reload()
    [_, added] = instance._instance.block_device_mappings
    assert added["Ebs"]["DeleteOnTermination"], added
    # It is in use from when it is being attached.
    there = instance.execute("until test -b /dev/nvme1n1; do sleep 0.1; done; lsblk --noheadings --output SIZE /dev/nvme1n1")
    assert there.strip() == "1G", there
    # pycloudlib has no way back, and of an image's snapshots it deletes the first alone.
    ec2.detach_volume(VolumeId=added["Ebs"]["VolumeId"])
    ec2.get_waiter("volume_available").wait(VolumeIds=[added["Ebs"]["VolumeId"]])
    ec2.delete_volume(VolumeId=added["Ebs"]["VolumeId"])


def interface(instance):
    for count, addresses in [(1, {}), (3, {"ipv4_address_count": 2, "ipv4_public_ip_count": 2})]:
        added = instance.add_network_interface(**addresses)
        assert len(instance.public_ips) == count, instance.public_ips
        # It is attached an instant before the machine has it.
        names = instance.execute("until test -e /sys/class/net/eth1; do sleep 0.1; done; ls /sys/class/net")
        assert names.split() == ["eth0", "eth1", "lo"], names
        instance.remove_network_interface(added)
        assert instance.created_interfaces == [] and len(instance.public_ips) == 1
    assert ec2.describe_addresses()["Addresses"] == []


def image(cloud, instance):
    id = cloud.snapshot(instance)
    copy = cloud.launch(id, username=way.USER)
    copy.wait()
    assert copy.execute("cat /var/tmp/kept") == "kept"
    assert copy.image_id == id
    again = cloud.get_instance(copy.id, username=way.USER)
    assert again.execute("hostname") == copy.execute("hostname")
    assert copy.delete() == []


way.open_port_22()
with way.cloud("machine") as cloud:
    keys(cloud)
    instance = cloud.launch(way.image(), user_data=USER_DATA, username=way.USER)
    instance.wait()
    way.step("launched")
    for part in [commands, files, power, volume, interface]:
        part(instance)
        way.step(part.__name__)
    image(cloud, instance)
    way.step("image")
way.nothing_is_left()
way.step("nothing is left")
