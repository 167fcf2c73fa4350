"""A machine's role: credentials that it reads in its metadata are good at the endpoint, with boto3, unmodified; and what its identity
document is signed with is what `ec2-local` says.

    eval "$(ec2-local env)"
    python3 profile.py path/to/ec2-local
"""

import json
import os
import subprocess
import sys

import boto3
import botocore.exceptions
from patience import patiently, until

PROGRAM = sys.argv[1]
READ = """
get() { exec 3<>/dev/tcp/169.254.169.254/80; printf 'GET /latest/%s HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' "$1" >&3; cat <&3; }
get PATH
"""

ec2 = boto3.client("ec2")


def launch():
    made = ec2.create_key_pair(KeyName="profile", KeyType="ed25519")
    with open("key", "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(made["KeyMaterial"])
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}
    ec2.authorize_security_group_ingress(GroupName="default", IpPermissions=[ssh])
    image = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["host"]}])["Images"][0]
    launched = patiently(
        ec2.run_instances,
        ImageId=image["ImageId"], InstanceType="t3.micro", KeyName="profile", MinCount=1, MaxCount=1,
        PrivateDnsNameOptions={"HostnameType": "resource-name", "EnableResourceNameDnsARecord": True},
    )
    id = launched["Instances"][0]["InstanceId"]
    waiter = ec2.get_waiter("instance_status_ok")
    until(lambda: waiter.wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 120}))
    return id, {tag["Key"]: tag["Value"] for tag in image["Tags"]}["login-user"]


def run(machine, command):
    id, user = machine
    connection = [
        "ssh", "-F", "none", "-i", "key", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", "UserKnownHostsFile=known_hosts", "-o", "StrictHostKeyChecking=accept-new",
        "-o", f"ProxyCommand={PROGRAM} connect %h %p", f"{user}@{id}", "bash -s",
    ]
    done = subprocess.run(connection, input=command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    return done.stdout


def metadata(machine, path):
    """Its status, and what it says."""
    head, _, body = run(machine, READ.replace("PATH", path)).replace("\r\n", "\n").partition("\n\n")
    return int(head.split()[1]), body


def credentials(machine):
    status, role = metadata(machine, "meta-data/iam/security-credentials/")
    assert (status, role) == (200, "server"), role
    status, told = metadata(machine, "meta-data/iam/security-credentials/server")
    told = json.loads(told)
    assert (status, told["Code"]) == (200, "Success"), told
    return told


def client(service, told, **changed):
    return boto3.client(service, **{
        "aws_access_key_id": told["AccessKeyId"], "aws_secret_access_key": told["SecretAccessKey"],
        "aws_session_token": told["Token"], **changed,
    })


def refusal(call, **parameters):
    try:
        patiently(call, **parameters)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call.__name__} was not refused")


def be_somebody(machine, told):
    id, _ = machine
    whose = client("sts", told).get_caller_identity()
    assert whose["Arn"] == f"arn:aws:sts::{whose['Account']}:assumed-role/server/{id}", whose
    assert whose["UserId"].startswith("AROA") and whose["UserId"].endswith(f":{id}"), whose
    found = patiently(client("ec2", told).describe_instances, InstanceIds=[id])
    profile = found["Reservations"][0]["Instances"][0]["IamInstanceProfile"]
    assert profile["Arn"].endswith(":instance-profile/web"), profile


def be_nobody(told):
    wrong = {"aws_session_token": told["Token"][:-4] + "AAAA"}
    assert refusal(client("ec2", told, **wrong).describe_regions) == "AuthFailure"
    assert refusal(client("sts", told, **wrong).get_caller_identity) == "InvalidClientTokenId"


def verify(machine):
    """As AWS's page says."""
    certificate = subprocess.run([PROGRAM, "identity-certificate"], check=True, capture_output=True, text=True).stdout
    parts = {name: metadata(machine, f"dynamic/instance-identity/{name}") for name in ["document", "rsa2048"]}
    assert {status for status, _ in parts.values()} == {200}, parts
    pkcs7 = f"-----BEGIN PKCS7-----\n{parts['rsa2048'][1]}\n-----END PKCS7-----\n"
    document = parts["document"][1]
    for name, content in [("certificate", certificate), ("document", document), ("rsa2048", pkcs7)]:
        with open(name, "w") as file:
            file.write(content)
    command = "openssl smime -verify -in rsa2048 -inform PEM -content document -certfile certificate -noverify"
    verified = subprocess.run(command.split(), capture_output=True, text=True)
    assert (verified.returncode, verified.stdout) == (0, document), verified
    assert json.loads(document)["instanceId"] == machine[0]
    assert metadata(machine, "dynamic/instance-identity/")[1].split() == ["document", "pkcs7", "rsa2048", "signature"]


def main():
    machine = launch()
    id, _ = machine
    assert run(machine, "hostname").strip() == f"{id}.ec2.internal"
    assert metadata(machine, "meta-data/iam/info")[0] == 404
    assert refusal(
        ec2.associate_iam_instance_profile, InstanceId=id, IamInstanceProfile={"Name": "other"}
    ) == "InvalidParameterValue"
    bond = patiently(ec2.associate_iam_instance_profile, InstanceId=id, IamInstanceProfile={"Name": "web"})
    bond = bond["IamInstanceProfileAssociation"]["AssociationId"]

    def is_told():
        assert metadata(machine, "meta-data/iam/info")[0] == 200

    until(is_told)
    told = credentials(machine)
    be_somebody(machine, told)
    be_nobody(told)
    verify(machine)

    subprocess.run([PROGRAM, "advance", "7200"], check=True, stdout=subprocess.DEVNULL)
    later = credentials(machine)
    assert later["AccessKeyId"] != told["AccessKeyId"], "they change long before they end"
    be_somebody(machine, told)
    subprocess.run([PROGRAM, "advance", "14400"], check=True, stdout=subprocess.DEVNULL)
    assert refusal(client("ec2", told).describe_regions) == "RequestExpired"
    assert refusal(client("sts", told).get_caller_identity) == "ExpiredToken"
    be_somebody(machine, later)

    patiently(ec2.disassociate_iam_instance_profile, AssociationId=bond)

    def is_gone():
        assert metadata(machine, "meta-data/iam/info")[0] == 404

    until(is_gone)
    assert client("sts", later).get_caller_identity()["Account"], "what was told is good until its end"
    patiently(ec2.terminate_instances, InstanceIds=[id])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 120})


if __name__ == "__main__":
    main()
