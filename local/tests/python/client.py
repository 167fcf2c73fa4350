"""A life of an instance with boto3 and OpenSSH, unmodified, at the endpoint that the environment names.

    eval "$(ec2-local env)"
    python3 client.py path/to/ec2-local
"""

import base64
import datetime
import os
import subprocess
import sys
import urllib.error
import urllib.request

import boto3
import botocore.exceptions
from patience import patiently, until

PROGRAM = sys.argv[1]
USER_DATA = "#!/bin/sh\necho 'said by user data'\necho written >/etc/by-user-data\n"

ec2 = boto3.client("ec2")


def refusal(call, **parameters):
    """The code of the error that a call is refused with."""
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call.__name__} was not refused")


def the_only(items):
    assert len(items) == 1, items
    return items[0]


def instance(id):
    described = patiently(ec2.describe_instances, InstanceIds=[id])
    return the_only(the_only(described["Reservations"])["Instances"])


def wait(name, id, **parameters):
    """A waiter as it is, but for the delay: it would be 15 s."""
    ec2.get_waiter(name).wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 120}, **parameters)


def look_around():
    regions = [region["RegionName"] for region in ec2.describe_regions()["Regions"]]
    assert "us-east-1" in regions and len(regions) == len(set(regions)) > 1, regions
    zones = ec2.describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])["AvailabilityZones"]
    assert all(zone["RegionName"] == "us-east-1" for zone in zones) and zones, zones
    assert len(boto3.client("sts").get_caller_identity()["Account"]) == 12

    pages = list(ec2.get_paginator("describe_instance_types").paginate())
    types = [kind["InstanceType"] for page in pages for kind in page["InstanceTypes"]]
    assert len(pages) > 1 and "t3.micro" in types and len(types) == len(set(types)), types
    vpc = the_only(ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == {zone["ZoneName"] for zone in zones}, subnets

    images = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["ho?t"]}])["Images"]
    image = the_only(images)
    assert image["State"] == "available" and image["RootDeviceType"] == "ebs", image
    assert ec2.describe_images(Filters=[{"Name": "name", "Values": ["no such*"]}])["Images"] == []
    return image


def presigned():
    """What a client that has no key may be handed: a question that is signed already, for a while."""
    for client, name, answer in [("ec2", "describe_regions", "us-east-1"), ("sts", "get_caller_identity", "arn:aws:iam:")]:
        client = boto3.client(client)
        url = client.generate_presigned_url(name, ExpiresIn=60, HttpMethod="GET")
        with urllib.request.urlopen(url) as answered:
            assert answer in answered.read().decode(), url
        # It is a POST where none is asked for.
        with urllib.request.urlopen(client.generate_presigned_url(name), data=b"") as answered:
            assert answer in answered.read().decode(), url
        try:
            urllib.request.urlopen(url.replace("Expires=60", "Expires=61"))
        except urllib.error.HTTPError as error:
            assert error.code == 403 and "SignatureDoesNotMatch" in error.read().decode(), error
        else:
            raise AssertionError(f"{url} was changed, and not refused")


def make_key():
    made = ec2.create_key_pair(KeyName="client", KeyType="ed25519")
    with open("key", "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(made["KeyMaterial"])
    ec2.get_waiter("key_pair_exists").wait(KeyNames=["client"])
    described = patiently(ec2.describe_key_pairs, KeyNames=["client"])
    assert the_only(described["KeyPairs"])["KeyPairId"] == made["KeyPairId"]
    assert refusal(ec2.create_key_pair, KeyName="client") == "InvalidKeyPair.Duplicate"


def open_ssh(id, user):
    """As whom the host comes: 127.0.0.1, or its network among the documentation's examples."""
    shut = log_in(id, user, ["true"])
    assert shut.returncode == 255 and f"port 22 of {id}: no security group of it lets that in" in shut.stderr, shut
    if os.geteuid() == 0:
        shut = subprocess.run(
            ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "StrictHostKeyChecking=no", instance(id)["PublicIpAddress"]], capture_output=True, text=True)
        assert shut.returncode == 255 and "reset" in shut.stderr, shut
    ranges = [{"CidrIp": "127.0.0.1/32"}]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ranges}
    ec2.authorize_security_group_ingress(GroupName="default", IpPermissions=[ssh])


def launch(image):
    tags = [{"Key": "Name", "Value": "client"}, {"Key": "odd: <é> & \"日本\"", "Value": " = + %\t"}]
    # The key is fresh, and a launch that doesn't know it yet does nothing; the token is the same.
    reservation = patiently(
        ec2.run_instances,
        ImageId=image["ImageId"],
        InstanceType="t3.micro",
        KeyName="client",
        MinCount=1,
        MaxCount=1,
        UserData=USER_DATA,
        ClientToken="the same launch",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    launched = the_only(reservation["Instances"])
    assert launched["LaunchTime"].tzinfo is not None
    assert abs(launched["LaunchTime"] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(hours=1)
    sort = lambda tags: sorted(tags, key=lambda tag: tag["Key"])
    assert sort(launched["Tags"]) == sort(tags), launched["Tags"]
    return launched["InstanceId"]


def be_refused(image, id):
    launch = dict(ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1)
    assert refusal(ec2.run_instances, **{**launch, "ImageId": "ami-0123456789abcdef0"}) == "InvalidAMIID.NotFound"
    assert refusal(ec2.run_instances, **{**launch, "ImageId": "debian-12"}) == "InvalidAMIID.Malformed"
    assert refusal(ec2.run_instances, **launch, KeyName="another") == "InvalidKeyPair.NotFound"
    assert refusal(ec2.run_instances, **launch, DryRun=True) == "DryRunOperation"
    assert refusal(ec2.run_instances, **launch, ClientToken="the same launch") == "IdempotentParameterMismatch"

    def rehearses_the_end():
        assert refusal(ec2.terminate_instances, InstanceIds=[id], DryRun=True) == "DryRunOperation"

    until(rehearses_the_end)
    assert refusal(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    assert refusal(ec2.describe_instances, InstanceIds=["mine"]) == "InvalidInstanceID.Malformed"
    assert refusal(ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"
    guessing = boto3.client(
        "ec2", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="guessed"
    )
    assert refusal(guessing.describe_regions) == "SignatureDoesNotMatch"


def find_it(id):
    def found(**filters):
        filters = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
        return [
            found["InstanceId"]
            for page in ec2.get_paginator("describe_instances").paginate(Filters=filters)
            for reservation in page["Reservations"]
            for found in reservation["Instances"]
        ]

    def is_found(**filters):
        """In lists, too, what is fresh comes late."""
        until(lambda: the_only(found(**filters)) == id)

    is_found(instance_state_name=["running"], instance_type=["t3.*"])
    is_found(**{"tag:Name": ["cli*"], "tag_key": ["odd*"]})
    assert found(instance_state_name=["running"], key_name=["other"]) == []

    patiently(ec2.create_tags, Resources=[id], Tags=[{"Key": "Name", "Value": "renamed"}])
    patiently(ec2.delete_tags, Resources=[id], Tags=[{"Key": "odd: <é> & \"日本\""}])
    is_found(**{"tag:Name": ["renamed"]})

    def tags_are_told():
        pages = ec2.get_paginator("describe_tags").paginate(Filters=[{"Name": "resource-id", "Values": [id]}])
        assert [(tag["Key"], tag["Value"]) for page in pages for tag in page["Tags"]] == [("Name", "renamed")]

    until(tags_are_told)

    data = patiently(ec2.describe_instance_attribute, InstanceId=id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data).decode() == USER_DATA
    attached = [{"Name": "attachment.instance-id", "Values": [id]}]
    volume = until(lambda: the_only(ec2.describe_volumes(Filters=attached)["Volumes"]))
    assert volume["State"] == "in-use", volume


def log_in(id, user, command, program="ssh", key="key", **options):
    connection = [
        program,
        *("-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        *("-o", "UserKnownHostsFile=known_hosts", "-o", "StrictHostKeyChecking=accept-new"),
        *("-o", f"ProxyCommand={PROGRAM} connect %h %p"),
    ]
    return subprocess.run(
        [*connection, *(["-b", "-"] if program == "sftp" else []), f"{user}@{id}", *command],
        capture_output=True, text=True, timeout=120, **options,
    )


def by_public_address(id, user):
    """By what `ec2-local ssh-config` prints; as root also without it, as on EC2."""
    with open("ssh_config", "w") as file:
        subprocess.run([PROGRAM, "ssh-config"], stdout=file, check=True)
    options = ["-i", "key", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
    ssh = lambda config, name: subprocess.run(
        ["ssh", "-F", config, *options, name, "hostname"], capture_output=True, text=True, timeout=60)
    address, name = instance(id)["PublicIpAddress"], instance(id)["PrivateDnsName"]
    for way in [id, address, name, instance(id)["PublicDnsName"]]:
        reached = ssh("ssh_config", way)
        assert reached.returncode == 0 and reached.stdout.strip() == name, (way, reached)
    if os.geteuid() == 0:
        reached = ssh("none", f"{user}@{address}")
        assert reached.returncode == 0 and reached.stdout.strip() == name, reached


def reach_it(image, id):
    user = {tag["Key"]: tag["Value"] for tag in image["Tags"]}["login-user"]
    open_ssh(id, user)
    done = log_in(id, user, ["cloud-init status --wait >/dev/null; cat /etc/by-user-data; echo $SSH_CONNECTION; exit 3"])
    assert done.returncode == 3 and done.stdout.startswith("written\n"), done
    assert instance(id)["PrivateIpAddress"] in done.stdout, done

    by_public_address(id, user)

    piped = log_in(id, user, ["tr a-z A-Z"], input="through a pipe")
    assert (piped.returncode, piped.stdout) == (0, "THROUGH A PIPE"), piped

    content = os.urandom(300_000)
    with open("sent", "wb") as file:
        file.write(content)
    copied = log_in(id, user, [], "sftp", input="put sent /tmp/there\nchmod 600 /tmp/there\nget /tmp/there received\n")
    assert copied.returncode == 0, copied
    with open("received", "rb") as file:
        assert file.read() == content

    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", "other-key"], check=True)
    refused = log_in(id, user, ["true"], key="other-key")
    assert refused.returncode == 255 and "Permission denied" in refused.stderr, refused

    console = patiently(ec2.get_console_output, InstanceId=id, Latest=True)
    assert console["InstanceId"] == id
    assert "said by user data" in console["Output"], console["Output"]
    with open("known_hosts") as file:
        kind, key = file.readline().split()[1:3]
    assert f"{kind} {key}" in console["Output"], "the host key is on the console"
    return user


def stop_and_start(id, user):
    before = instance(id)
    kept = log_in(id, user, ["echo kept | tee kept; cat /proc/sys/kernel/random/boot_id"])
    assert kept.returncode == 0, kept
    stopping = the_only(ec2.stop_instances(InstanceIds=[id])["StoppingInstances"])
    assert stopping["PreviousState"]["Name"] == "running", stopping
    wait("instance_stopped", id)
    stopped = instance(id)
    refused = subprocess.run(["ssh", "-F", "none", "-o", "BatchMode=yes", before["PublicIpAddress"]], capture_output=True)
    assert refused.returncode == 255 and b"Connection refused" in refused.stderr, refused
    assert "PublicIpAddress" not in stopped and stopped["PrivateIpAddress"] == before["PrivateIpAddress"], stopped
    assert refusal(ec2.reboot_instances, InstanceIds=[id]) == "IncorrectInstanceState"

    ec2.start_instances(InstanceIds=[id])
    if os.geteuid() == 0:
        # As soon as there is an address somebody answers there, and the one who boots is waited for.
        while not (address := instance(id).get("PublicIpAddress")):
            pass
        known = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
        early = subprocess.run(
            ["ssh", "-F", "none", "-i", "key", "-o", "BatchMode=yes", *known, f"{user}@{address}", "cat kept"],
            capture_output=True, text=True, timeout=60)
        assert (early.returncode, early.stdout) == (0, "kept\n"), early
    wait("instance_running", id)
    wait("instance_status_ok", id)
    found = log_in(id, user, ["cat kept; cat /proc/sys/kernel/random/boot_id"])
    assert found.returncode == 0 and found.stdout.startswith("kept\n"), found
    assert found.stdout != kept.stdout, "it has booted anew"


def end(id):
    ec2.terminate_instances(InstanceIds=[id])
    wait("instance_terminated", id)
    assert instance(id)["State"]["Name"] == "terminated"
    assert refusal(ec2.start_instances, InstanceIds=[id]) == "IncorrectInstanceState"
    refused = log_in(id, "anybody", ["true"])
    assert refused.returncode == 255, refused
    ec2.delete_key_pair(KeyName="client")
    assert refusal(ec2.describe_key_pairs, KeyNames=["client"]) == "InvalidKeyPair.NotFound"


def main():
    image = look_around()
    presigned()
    make_key()
    id = launch(image)
    assert launch(image) == id, "one token, one launch"
    be_refused(image, id)
    wait("instance_running", id)
    wait("instance_status_ok", id)
    find_it(id)
    user = reach_it(image, id)
    stop_and_start(id, user)
    end(id)


if __name__ == "__main__":
    main()
