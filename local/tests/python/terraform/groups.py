"""Security groups, their rules, and network ACLs."""

from provider import *


def permission(protocol, port, **to):
    return {"IpProtocol": protocol, "FromPort": port, "ToPort": port, **to}


EVERYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def is_group_unknown(error):
    return code_of(error) == "InvalidGroup.NotFound"


class SecurityGroup(Resource):
    """aws_security_group, with rules within it; the rule that a new one has is revoked"""

    def __init__(self, vpc, name):
        self.vpc, self.name = vpc, name

    def create(self):
        made = patiently(
            ec2.create_security_group,
            GroupName=self.name, Description="by Terraform", VpcId=self.vpc.id, TagSpecifications=tagged("security-group", "made"),
        )
        self.id = made["GroupId"]
        wait(self.found, lambda group: True)
        self.revoke_default()
        self.authorize(ec2.authorize_security_group_ingress, permission("tcp", 22, **EVERYWHERE))
        itself = {"UserIdGroupPairs": [{"GroupId": self.id}]}
        # The provider sends ports for every protocol.
        self.authorize(ec2.authorize_security_group_ingress, permission("-1", 0, **itself))
        self.authorize(ec2.authorize_security_group_egress, permission("-1", 0, **EVERYWHERE))

    def revoke_default(self):
        everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
        patiently(ec2.revoke_security_group_egress, GroupId=self.id, IpPermissions=[{**everything, **EVERYWHERE}])
        try:
            six = {**everything, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
            until(lambda: ec2.revoke_security_group_egress(GroupId=self.id, IpPermissions=[six]), is_group_unknown)
        except ClientError as error:
            is_known = "remote-ipv6-range" in str(error) or code_of(error) == "InvalidPermission.NotFound"
            assert is_known, error

    def authorize(self, call, permission):
        patiently(call, GroupId=self.id, IpPermissions=[permission])

    def found(self):
        codes = ["InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"]
        return find(ec2.describe_security_groups, "SecurityGroups", codes, GroupIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        patiently(ec2.revoke_security_group_ingress, GroupId=self.id, IpPermissions=[permission("tcp", 22, **EVERYWHERE)])
        https = permission("tcp", 443, IpRanges=[{"CidrIp": "192.0.2.0/24", "Description": "changed"}])
        self.authorize(ec2.authorize_security_group_ingress, https)
        ports = lambda group: {rule.get("FromPort") for rule in group["IpPermissions"]}
        wait(self.found, lambda group: ports(group) >= {443} and 22 not in ports(group))
        retag(self, self.id)

    def destroy(self):
        listed(ec2.describe_network_interfaces, "NetworkInterfaces", Filters=filters(group_id=self.id))
        delete(ec2.delete_security_group, ["InvalidGroup.NotFound"], ["DependencyViolation", "InvalidGroup.InUse"], GroupId=self.id)
        wait_gone(self.found)


class DefaultSecurityGroup(Resource):
    """aws_default_security_group of a VPC, which is emptied, and forgotten"""

    def __init__(self, vpc):
        self.vpc = vpc

    def create(self):
        query = filters(group_name="default", vpc_id=self.vpc.id)
        group = wait(lambda: find(ec2.describe_security_groups, "SecurityGroups", Filters=query), lambda group: True)
        self.id = group["GroupId"]
        for direction in ["ingress", "egress"]:
            rules = group["IpPermissionsEgress" if direction == "egress" else "IpPermissions"]
            if rules:
                patiently(getattr(ec2, f"revoke_security_group_{direction}"), GroupId=self.id, IpPermissions=rules)
        wait(self.read, lambda group: not group["IpPermissions"] and not group["IpPermissionsEgress"])

    def read(self):
        return find(ec2.describe_security_groups, "SecurityGroups", ["InvalidGroup.NotFound"], GroupIds=[self.id])


class SecurityGroupRule(Resource):
    """aws_security_group_rule, which is found among its group's permissions"""

    def __init__(self, group, direction, rule):
        self.group, self.direction, self.rule = group, direction, rule

    def create(self):
        call = getattr(ec2, f"authorize_security_group_{self.direction}")
        patiently(call, GroupId=self.group.id, IpPermissions=[self.rule()])
        wait(self.read, lambda rule: True)

    def read(self):
        member = "IpPermissionsEgress" if self.direction == "egress" else "IpPermissions"
        wanted = self.rule()
        key = next(name for name in ["IpRanges", "Ipv6Ranges", "UserIdGroupPairs"] if name in wanted)
        for found in self.group.found()[member]:
            is_same = all(found.get(name) == wanted.get(name) for name in ["IpProtocol", "FromPort", "ToPort"])
            if is_same and all(any(range.items() <= one.items() for one in found[key]) for range in wanted[key]):
                return found
        raise Gone(wanted)

    def change(self):
        call = getattr(ec2, f"update_security_group_rule_descriptions_{self.direction}")
        described = self.rule()
        key = next(name for name in ["IpRanges", "Ipv6Ranges", "UserIdGroupPairs"] if name in described)
        described[key] = [{**range, "Description": "changed"} for range in described[key]]
        patiently(call, GroupId=self.group.id, IpPermissions=[described])
        wait(self.read, lambda found: any(range.get("Description") == "changed" for range in found[key]))

    def destroy(self):
        call = getattr(ec2, f"revoke_security_group_{self.direction}")
        patiently(call, GroupId=self.group.id, IpPermissions=[self.rule()])
        wait_gone(self.read)


class VpcSecurityGroupRule(Resource):
    """aws_vpc_security_group_ingress_rule and aws_vpc_security_group_egress_rule, which have ids"""

    def __init__(self, group, direction, rule, changed):
        self.group, self.direction, self.rule, self.changed = group, direction, rule, changed

    def create(self):
        call = getattr(ec2, f"authorize_security_group_{self.direction}")
        tags = tagged("security-group-rule", "made")
        made = patiently(call, GroupId=self.group.id, IpPermissions=[self.rule()], TagSpecifications=tags)
        self.id = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def found(self):
        codes = ["InvalidSecurityGroupRuleId.NotFound"]
        rule = find(ec2.describe_security_group_rules, "SecurityGroupRules", codes, SecurityGroupRuleIds=[self.id])
        assert rule["IsEgress"] == (self.direction == "egress"), rule
        return rule

    def read(self):
        return self.found()

    def change(self):
        changed = [{"SecurityGroupRuleId": self.id, "SecurityGroupRule": self.changed}]
        patiently(ec2.modify_security_group_rules, GroupId=self.group.id, SecurityGroupRules=changed)
        wait(self.found, lambda rule: self.changed.items() <= rule.items())
        retag(self, self.id)

    def destroy(self):
        call = getattr(ec2, f"revoke_security_group_{self.direction}")
        delete(call, ["InvalidSecurityGroupRuleId.NotFound"], GroupId=self.group.id, SecurityGroupRuleIds=[self.id])
        wait_gone(self.found)


def acl_of(id):
    return find(ec2.describe_network_acls, "NetworkAcls", ["InvalidNetworkAclID.NotFound"], NetworkAclIds=[id])


def acl_of_subnet(subnet):
    acl = find(ec2.describe_network_acls, "NetworkAcls", Filters=filters(association__subnet_id=subnet))
    return next(bond for bond in acl["Associations"] if bond["SubnetId"] == subnet)


def own_entries(acl):
    return [entry for entry in acl["Entries"] if entry["RuleNumber"] < 32767]


class NetworkAcl(Resource):
    """aws_network_acl, with entries and a subnet; aws_network_acl_association likewise"""

    def __init__(self, vpc, subnet):
        self.vpc, self.subnet = vpc, subnet

    def create(self):
        made = patiently(ec2.create_network_acl, VpcId=self.vpc.id, TagSpecifications=tagged("network-acl", "made"))
        self.id = made["NetworkAcl"]["NetworkAclId"]
        wait(self.found, lambda acl: True)
        for egress in [False, True]:
            patiently(
                ec2.create_network_acl_entry,
                NetworkAclId=self.id, Egress=egress, RuleNumber=100, Protocol="-1", RuleAction="allow", CidrBlock="0.0.0.0/0",
                PortRange={"From": 0, "To": 0},
            )
        self.associate(self.id)

    def associate(self, acl):
        bond = wait(lambda: acl_of_subnet(self.subnet.id), lambda bond: True)
        made = patiently(ec2.replace_network_acl_association, AssociationId=bond["NetworkAclAssociationId"], NetworkAclId=acl)
        bond = made["NewAssociationId"]
        query = filters(association__association_id=bond)
        wait(lambda: find(ec2.describe_network_acls, "NetworkAcls", Filters=query), lambda found: found["NetworkAclId"] == acl)

    def found(self):
        return acl_of(self.id)

    def read(self):
        return self.found()

    def change(self):
        entry = {"NetworkAclId": self.id, "Egress": False, "RuleNumber": 110}
        patiently(
            ec2.create_network_acl_entry,
            Protocol="6", PortRange={"From": 22, "To": 22}, RuleAction="deny", CidrBlock="192.0.2.0/24", **entry,
        )
        wait(self.found, lambda acl: any(found["RuleNumber"] == 110 for found in acl["Entries"]))
        delete(ec2.delete_network_acl_entry, ["InvalidNetworkAclEntry.NotFound"], **entry)
        wait(self.found, lambda acl: not any(found["RuleNumber"] == 110 for found in acl["Entries"]))
        retag(self, self.id)

    def destroy(self):
        default = find(ec2.describe_network_acls, "NetworkAcls", Filters=filters(default="true", vpc_id=self.vpc.id))
        for bond in self.seen()["Associations"]:
            patiently(
                ec2.replace_network_acl_association,
                AssociationId=bond["NetworkAclAssociationId"], NetworkAclId=default["NetworkAclId"],
            )
        delete(ec2.delete_network_acl, ["InvalidNetworkAclID.NotFound"], ["DependencyViolation"], NetworkAclId=self.id)
        wait_gone(self.found)


class NetworkAclRule(Resource):
    """aws_network_acl_rule"""

    def __init__(self, acl, number, egress, **rule):
        self.acl, self.number, self.egress, self.rule = acl, number, egress, rule

    def named(self):
        return {"NetworkAclId": self.acl.id, "RuleNumber": self.number, "Egress": self.egress}

    def create(self):
        # It may not overwrite another's.
        try:
            raise AssertionError(self.read())
        except Gone:
            pass
        patiently(ec2.create_network_acl_entry, PortRange={"From": 0, "To": 0}, **self.named(), **self.rule)
        wait(self.read, lambda entry: True)

    def read(self):
        query = filters(entry__egress=str(self.egress).lower(), entry__rule_number=str(self.number))
        codes = ["InvalidNetworkAclID.NotFound"]
        acl = find(ec2.describe_network_acls, "NetworkAcls", codes, NetworkAclIds=[self.acl.id], Filters=query)
        for entry in acl["Entries"]:
            if (entry["RuleNumber"], entry["Egress"]) == (self.number, self.egress):
                return entry
        raise Gone(self.named())

    def destroy(self):
        delete(ec2.delete_network_acl_entry, ["InvalidNetworkAclEntry.NotFound"], **self.named())
        wait_gone(self.read)


class DefaultNetworkAcl(Resource):
    """aws_default_network_acl of a VPC: its entries are replaced, and it is forgotten"""

    def __init__(self, vpc):
        self.vpc = vpc

    def create(self):
        query = filters(default="true", vpc_id=self.vpc.id)
        acl = wait(lambda: find(ec2.describe_network_acls, "NetworkAcls", Filters=query), lambda acl: True)
        self.id = acl["NetworkAclId"]
        for entry in own_entries(acl):
            named = {"RuleNumber": entry["RuleNumber"], "Egress": entry["Egress"]}
            patiently(ec2.delete_network_acl_entry, NetworkAclId=self.id, **named)
        patiently(
            ec2.create_network_acl_entry,
            NetworkAclId=self.id, Egress=False, RuleNumber=1, Protocol="6", PortRange={"From": 1, "To": 65535}, RuleAction="allow",
            CidrBlock="0.0.0.0/0",
        )
        wait(self.read, lambda acl: [entry["RuleNumber"] for entry in own_entries(acl)] == [1])

    def read(self):
        return acl_of(self.id)
