"""Playbooks with the collection amazon.aws, unmodified, at the endpoint that the environment names: each is played twice, and changes nothing
the second time.

    eval "$(ec2-local env)"
    python3 ansible_playbooks.py
"""

import os
import pathlib
import re
import subprocess
import sys
import time

import boto3
from patience import until
from sooner import look_sooner

PLAYBOOKS = pathlib.Path(__file__).parent / "ansible"
ec2 = boto3.client("ec2")
begun = time.monotonic()
look_sooner()
os.environ |= {
    # Everything that it writes stays here.
    "ANSIBLE_HOME": str(pathlib.Path("home").absolute()),
    "ANSIBLE_REMOTE_TEMP": str(pathlib.Path("remote").absolute()),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_PIPELINING": "1",
    "LC_ALL": "C.UTF-8",
}


def play(name):
    """How much a playbook changes."""
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,", PLAYBOOKS / f"{name}.yml"]
    played = subprocess.run([*command, "--extra-vars", f"ansible_python_interpreter={sys.executable}"], capture_output=True, text=True)
    assert played.returncode == 0, played.stdout + played.stderr
    [changed] = re.findall(r"^localhost .* changed=(\d+) ", played.stdout, re.MULTILINE)
    print(f"{time.monotonic() - begun:6.1f} s  {name}: changed={changed}", flush=True)
    return int(changed), played.stdout


def nothing_is_left():
    states = [instance["State"]["Name"] for page in ec2.describe_instances()["Reservations"] for instance in page["Instances"]]
    assert set(states) == {"terminated"}, states
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert ec2.describe_placement_groups()["PlacementGroups"] == []
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    assert {gateway["State"] for gateway in ec2.describe_nat_gateways()["NatGateways"]} <= {"deleted"}
    for things in [
        ec2.describe_vpcs()["Vpcs"],
        ec2.describe_internet_gateways()["InternetGateways"],
        ec2.describe_route_tables()["RouteTables"],
        ec2.describe_network_acls()["NetworkAcls"],
        ec2.describe_security_groups()["SecurityGroups"],
        ec2.describe_dhcp_options()["DhcpOptions"],
    ]:
        assert len(things) == 1, things
    assert all(subnet["DefaultForAz"] for subnet in ec2.describe_subnets()["Subnets"])


for name in ["made", "found", "gone"]:
    changed, _ = play(name)
    assert (changed > 0) == (name != "found"), changed
    if name != "found":
        changed, said = play(name)
        assert changed == 0, said
until(nothing_is_left)
