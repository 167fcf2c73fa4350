#!/usr/bin/env python3
"""Compares what botocore reads of the account's answers with what the account says, over every action that it serves.

    pip install botocore
    cargo build -p ec2-local --example codec
    python3 local/model/check_account.py target/debug/examples/codec

Every request is written by botocore, every answer is read by it; it must come back as the account has given it. And every
filter that AWS's own documentation names is one that the account knows. It uses no network.
"""

import html
import re
import sys

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

from check import VERSION, Codec, body, moment, plain

KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5"
ODD = [{"Key": "odd: <&> \"'", "Value": " \té日\r\n]]>"}, {"Key": "empty", "Value": ""}]


class Account:
    """The account behind the codec, as botocore sees it."""

    def __init__(self, codec):
        self.codec = codec
        loader = botocore.loaders.Loader()
        self.service = botocore.model.ServiceModel(loader.load_service_model("ec2", "service-2", VERSION))
        self.serializer = botocore.serialize.create_serializer("ec2", True)
        self.parser = botocore.parsers.create_parser("ec2")
        self.called = set()

    def ask(self, name, **parameters):
        """An answer as the codec has it."""
        request = self.serializer.serialize_to_request(parameters, self.service.operation_model(name))
        return self.codec.ask(call=body(request))

    def call(self, name, **parameters):
        """An answer as botocore has it, which is as the account has it."""
        answer = self.ask(name, **parameters)
        assert "document" in answer, (name, parameters, answer)
        shape = self.service.operation_model(name).output_shape
        parsed = self.parser.parse({"body": answer["document"].encode(), "headers": {}, "status_code": 200}, shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id", answer
        held = moment(answer["output"])
        if shape and "Return" in shape.members:
            held.setdefault("Return", True)
        assert moment(plain(parsed)) == held, (name, parsed, held)
        self.called.add(name)
        return parsed


def tagged(kind):
    return [{"ResourceType": kind, "Tags": ODD}]


def make(call):
    """Makes one of each kind of resource, of each shape that it has."""
    assert call("DescribeVpcs")["Vpcs"] == [] and call("CreateDefaultVpc")["Vpc"]["IsDefault"]
    call("CreateKeyPair", KeyName="made", KeyType="ed25519", TagSpecifications=tagged("key-pair"))
    call("ImportKeyPair", KeyName="imported", PublicKeyMaterial=KEY, TagSpecifications=tagged("key-pair"))
    group = call("CreateSecurityGroup", GroupName="g", Description="a & b", TagSpecifications=tagged("security-group"))
    group = group["GroupId"]
    permissions = [
        {
            "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a & b"}, {"CidrIp": "192.0.2.1/32"}],
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            "UserIdGroupPairs": [{"GroupId": group}],
        },
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ]
    made = call(
        "AuthorizeSecurityGroupIngress",
        GroupId=group, IpPermissions=permissions, TagSpecifications=tagged("security-group-rule"),
    )
    assert len(made["SecurityGroupRules"]) == 5, made
    call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=permissions)
    image = call("DescribeImages", Filters=[{"Name": "name", "Values": ["blank"]}])["Images"][0]["ImageId"]
    launched = call(
        "RunInstances",
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=2, KeyName="made", ClientToken="<token>",
        UserData="aGVsbG8=", SecurityGroupIds=[group], Monitoring={"Enabled": True},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "io2", "Iops": 500, "VolumeSize": 20, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
        ],
        TagSpecifications=tagged("instance") + tagged("volume") + tagged("network-interface"),
    )
    assert launched["Instances"][0]["State"]["Name"] == "pending", launched
    return image, group, [instance["InstanceId"] for instance in launched["Instances"]]


def look(call, instances):
    """Describes all there is, whole and page by page."""
    for name in [
        "DescribeAccountAttributes", "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceStatus",
        "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeInstances", "DescribeInternetGateways",
        "DescribeNetworkInterfaces", "DescribeRegions", "DescribeRouteTables", "DescribeSecurityGroupRules",
        "DescribeSecurityGroups", "DescribeSubnets", "DescribeTags", "DescribeVolumes", "DescribeVpcs",
    ]:
        listed = [value for value in call(name).values() if isinstance(value, list)]
        assert listed and all(listed), (name, listed)
    assert len(call("DescribeKeyPairs", IncludePublicKey=True)["KeyPairs"]) == 2
    for name in ["DescribeInstanceTypes", "DescribeSecurityGroupRules", "DescribeTags"]:
        pages, token = [], {}
        while token is not None:
            page = call(name, MaxResults=5, **token)
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
            pages.append(page)
        assert len(pages) > 1, name
    vpc = call("DescribeVpcs")["Vpcs"][0]["VpcId"]
    for attribute in ["enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"]:
        call("DescribeVpcAttribute", VpcId=vpc, Attribute=attribute)
    console = call("GetConsoleOutput", InstanceId=instances[0])
    assert console["Output"], console


def look_at_attributes(account, image, instance):
    for name, subject, shape in [
        ("DescribeInstanceAttribute", {"InstanceId": instance}, "InstanceAttributeName"),
        ("DescribeImageAttribute", {"ImageId": image}, "ImageAttributeName"),
    ]:
        for attribute in account.service.shape_for(shape).enum:
            account.call(name, Attribute=attribute, **subject)


def change(call, group, instances):
    rule = call("DescribeSecurityGroupRules", Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    incoming = next(found["SecurityGroupRuleId"] for found in rule if not found["IsEgress"])
    outgoing = next(found["SecurityGroupRuleId"] for found in rule if found["IsEgress"])
    for direction, id in [("Ingress", incoming), ("Egress", outgoing)]:
        described = [{"SecurityGroupRuleId": id, "Description": direction}]
        call(f"UpdateSecurityGroupRuleDescriptions{direction}", GroupId=group, SecurityGroupRuleDescriptions=described)
        call(f"RevokeSecurityGroup{direction}", GroupId=group, SecurityGroupRuleIds=[id])
    # In the default VPC what isn't there is told about, and is no error.
    unknown = [{"IpProtocol": "udp", "FromPort": 1, "ToPort": 2, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    answer = call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=unknown)
    assert len(answer["UnknownIpPermissions"]) == 1, answer
    call("CreateTags", Resources=instances, Tags=[{"Key": "more", "Value": "<x/>"}])
    call("DeleteTags", Resources=instances, Tags=[{"Key": "empty"}])
    call("ModifyInstanceAttribute", InstanceId=instances[0], DisableApiStop={"Value": False})
    call("ModifyInstanceMetadataOptions", InstanceId=instances[0], HttpTokens="required", HttpPutResponseHopLimit=2)
    call("RebootInstances", InstanceIds=instances)
    for name in ["StopInstances", "StartInstances", "TerminateInstances"]:
        assert len(next(iter(call(name, InstanceIds=instances).values()))) == len(instances), name
        states = {found["InstanceState"]["Name"] for found in
                  call("DescribeInstanceStatus", IncludeAllInstances=True)["InstanceStatuses"]}
        assert states == {{"StopInstances": "stopped", "StartInstances": "running"}.get(name, "terminated")}, (name, states)
        call("DescribeInstances")


def end(call, group):
    left = call("DescribeVolumes")["Volumes"]
    assert [volume["State"] for volume in left] == ["available"] * 2, "those of the root were to stay"
    for volume in left:
        call("DeleteVolume", VolumeId=volume["VolumeId"])
    call("DeleteSecurityGroup", GroupId=group)
    call("DeleteKeyPair", KeyName="made")
    assert call("DeleteKeyPair", KeyName="made")["Return"] is True
    for name in ["DescribeVolumes", "DescribeNetworkInterfaces"]:
        assert not next(iter(call(name).values())), name


def documented_filters(operation):
    """The names in AWS's documentation; of tags, those for a key of some name."""
    members = operation.input_shape.members if operation.input_shape else {}
    text = members["Filters"].documentation if "Filters" in members else ""
    for name in re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", text):
        name = html.unescape(name).strip()
        yield re.sub(r"<key>|:$", "", name) + ":x" if re.fullmatch(r"tag(:<key>|:)?", name) else name


def check_filters(account, actions):
    count = 0
    for action in actions:
        for name in documented_filters(account.service.operation_model(action)):
            answer = account.ask(action, Filters=[{"Name": name, "Values": ["x"]}])
            assert "document" in answer, (action, name, answer)
            count += 1
    assert count > 300, count
    return count


def main(path):
    codec = Codec(path)
    account = Account(codec)
    actions = set(codec.ask(actions=True)["actions"])
    image, group, instances = make(account.call)
    look(account.call, instances)
    look_at_attributes(account, image, instances[0])
    change(account.call, group, instances)
    end(account.call, group)
    filters = check_filters(account, sorted(actions))
    codec.end()
    missed = actions - account.called
    assert not missed, f"nothing asks for {sorted(missed)}"
    print(f"{len(account.called)} actions and {filters} filters: no difference")


if __name__ == "__main__":
    main(*sys.argv[1:])
