"""What the tests of pycloudlib share: where its cloud is, whose key it has, and what must be left of it."""

import io
import logging
import os
import subprocess
import sys
import time

import only_ec2  # noqa: F401
import boto3
from patience import until
from pycloudlib.ec2.cloud import EC2
from sooner import look_sooner

USER = "ec2-user"
logging.basicConfig(level=logging.DEBUG if "-v" in sys.argv else logging.ERROR)
look_sooner()
ec2 = boto3.client("ec2")
begun = time.monotonic()


def step(name):
    print(f"{time.monotonic() - begun:6.1f} s  {name}", flush=True)


def cloud(tag):
    """EC2, as the environment says; pycloudlib wants a file of its own, which may say next to nothing."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True)
    return EC2(tag=tag, config_file=io.StringIO(f'[ec2]\npublic_key_path = "{os.getcwd()}/key.pub"\n'))


def image():
    [image] = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["host"]}])["Images"]
    return image["ImageId"]


def open_port_22():
    """pycloudlib logs in at public addresses, and leaves the default group as it is."""
    ec2.authorize_security_group_ingress(GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32")


def nothing_is_left():
    def attempt():
        states = [instance["State"]["Name"] for page in ec2.describe_instances()["Reservations"] for instance in page["Instances"]]
        assert set(states) == {"terminated"}, states
        assert ec2.describe_volumes()["Volumes"] == []
        assert ec2.describe_images(Owners=["self"])["Images"] == []
        assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
        assert ec2.describe_key_pairs()["KeyPairs"] == []
        assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
        assert ec2.describe_addresses()["Addresses"] == []
        assert [vpc["IsDefault"] for vpc in ec2.describe_vpcs()["Vpcs"]] == [True]
        assert [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]

    until(attempt)
