"""Drives the stub of `fixture.rs` with boto3. The test `boto3_is_served` runs it."""

import datetime
import os

import boto3
import botocore.config
import botocore.exceptions

CONFIG = botocore.config.Config(retries={"total_max_attempts": 1}, region_name="eu-central-1")


def client(service, key=None, secret=None, token=None):
    return boto3.client(
        service,
        endpoint_url=os.environ["ENDPOINT"],
        config=CONFIG,
        aws_access_key_id=key or os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or os.environ["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=token,
    )


def refusal(call, **parameters):
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError(f"{call} was not refused")


ec2 = client("ec2")

regions = ec2.describe_regions()
assert [region["RegionName"] for region in regions["Regions"]] == ["eu-central-1", "eu-west-1"], regions
assert len(regions["ResponseMetadata"]["RequestId"]) == 36, regions

tags = [{"Key": "Name", "Value": "a <b> & 'c' \"d\" é 日本 + % = /\r\n"}]
reservation = ec2.run_instances(
    ImageId="ami-1",
    InstanceType="t3.micro",
    MinCount=1,
    MaxCount=11,
    UserData="#!/bin/sh\necho hello\n",
    TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
)
assert len(reservation["Instances"]) == 11, reservation
for index, instance in enumerate(reservation["Instances"]):
    assert instance["AmiLaunchIndex"] == index, instance
    assert instance["Tags"] == tags, instance["Tags"]
    assert instance["LaunchTime"] == datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc), instance

assert ec2.reboot_instances(InstanceIds=["i-1", "i-2"])["ResponseMetadata"]["HTTPStatusCode"] == 200
assert ec2.delete_key_pair(KeyName="k")["Return"] is True

assert refusal(ec2.describe_tags)[0] == "InvalidAction"
assert refusal(ec2.describe_fpga_images)[0] == "UnsupportedOperation"
assert refusal(ec2.terminate_instances, InstanceIds=["i-1"])[0] == "InternalError"
code, message = refusal(ec2.run_instances, ImageId="ami-1", InstanceType="t9.huge", MinCount=1, MaxCount=1)
assert (code, message) == ("InvalidParameterValue", "Invalid value 't9.huge' for InstanceType."), message

assert client("sts").get_caller_identity()["Account"] == os.environ["ACCOUNT"]

assert refusal(client("ec2", key="AKIDOTHER").describe_regions)[0] == "AuthFailure"
assert refusal(client("ec2", secret="guessed").describe_regions)[0] == "SignatureDoesNotMatch"
assert refusal(client("sts", secret="guessed").get_caller_identity)[0] == "SignatureDoesNotMatch"
assert refusal(client("ec2", token="stale").describe_regions)[0] == "AuthFailure"
