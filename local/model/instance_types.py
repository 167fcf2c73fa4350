#!/usr/bin/env python3
"""Writes the table of instance types, `instance-types.tsv`, from what EC2 itself has answered.

Its answers to DescribeInstanceTypes are those that moto bears (Apache-2.0, see `LICENSE.md` beside this file). Install it first, in
a virtual environment if you like:

    pip install 'moto[ec2]' botocore
    python3 local/model/instance_types.py

    cargo build -p ec2-local --example codec
    python3 local/model/instance_types.py target/debug/examples/codec

The second way writes nothing: it compares what the account answers with all that EC2 has.

The first line is `*`, with what most types have, in JSON, by the model's member names; a name without a point is a family, with what
most of its types have otherwise. The lines after it are its types: the name, and in columns what differs most often; what else
differs is in JSON at the end. The later goes before the earlier, and `null` takes away. Cards in JSON are lists of how many there are of one kind,
and of that.
"""

import gzip
import importlib.metadata
import json
import pathlib
import sys

PATH = pathlib.Path(__file__).with_name("instance-types.tsv")
COLUMNS = "name vcpus/threads MiB interfaces/addresses performance card:baseline/peak/queues/most/all volumes ebs:Mbps/IOPS/most/most disks cores"


def source():
    """EC2's answers by name, and where they are from."""
    import moto

    types = pathlib.Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz"
    answers = json.loads(gzip.decompress(types.read_bytes()))
    for answer in answers.values():
        # It says in which region moto's authors have asked.
        answer.pop("SupportedInRegion", None)
    return answers, f"moto {importlib.metadata.version('moto')}"


def number(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def joined(*values):
    return "/".join(map(number, values))


def card(network):
    """What a type's only network card has of its own."""
    [card] = network["NetworkCards"]
    names = ["BaselineBandwidthInGbps", "PeakBandwidthInGbps", "DefaultEnaQueueCountPerInterface"]
    names += [name for name in ["MaximumEnaQueueCountPerInterface", "MaximumEnaQueueCount"] if name in card]
    return joined(*(card[name] for name in names))


def bandwidth(ebs):
    most = ebs["EbsOptimizedInfo"]
    names = ["BaselineBandwidthInMbps", "BaselineIops", "MaximumBandwidthInMbps", "MaximumIops"]
    baseline, iops, *maximum = (most[name] for name in names)
    return joined(baseline, iops, *([] if maximum == [baseline, iops] else maximum))


def disks(storage):
    [disk] = storage["Disks"]
    assert disk["Type"] == "ssd"
    return f"{disk['Count']}x{disk['SizeInGB']}"


def cores(processors):
    """`first-last/step`; or what they are, where they aren't at even distances."""
    cores = processors["ValidCores"]
    steps = {after - before for before, after in zip(cores, cores[1:])}
    if len(steps) == 1:
        return f"{cores[0]}-{cores[-1]}/{steps.pop()}"
    return ",".join(map(str, cores))


def column(write, of):
    """A column, or `-` where a type has nothing of the kind or more than fits in it."""
    try:
        return write(of)
    except (AssertionError, KeyError, ValueError):
        return "-"


def columns(answer):
    processors, network = answer["VCpuInfo"], answer["NetworkInfo"]
    return [
        joined(processors["DefaultVCpus"], processors["DefaultThreadsPerCore"]),
        str(answer["MemoryInfo"]["SizeInMiB"]),
        joined(network["MaximumNetworkInterfaces"], network["Ipv4AddressesPerInterface"]),
        network["NetworkPerformance"],
        column(card, network),
        str(answer["EbsInfo"].get("MaximumEbsAttachments", "-")),
        column(bandwidth, answer["EbsInfo"]),
        column(disks, answer.get("InstanceStorageInfo", {})),
        column(cores, processors),
    ]


def said(name, fields):
    """What the columns say, as the account reads them."""
    vcpus, threads = map(int, fields[0].split("/"))
    interfaces, addresses = map(int, fields[2].split("/"))
    processors = {"DefaultVCpus": vcpus, "DefaultCores": vcpus // threads, "DefaultThreadsPerCore": threads}
    network = {
        "MaximumNetworkInterfaces": interfaces,
        "Ipv4AddressesPerInterface": addresses,
        "Ipv6AddressesPerInterface": addresses,
        "NetworkPerformance": fields[3],
    }
    answer = {
        "InstanceType": name,
        "VCpuInfo": processors,
        "MemoryInfo": {"SizeInMiB": int(fields[1])},
        "NetworkInfo": network,
    }
    if fields[4] != "-":
        baseline, peak, *queues = map(float, fields[4].split("/"))
        card = {
            "NetworkPerformance": fields[3],
            "MaximumNetworkInterfaces": interfaces,
            "BaselineBandwidthInGbps": baseline,
            "PeakBandwidthInGbps": peak,
        }
        names = ["DefaultEnaQueueCountPerInterface", "MaximumEnaQueueCountPerInterface", "MaximumEnaQueueCount"]
        card |= {name: int(count) for name, count in zip(names, queues)}
        if len(queues) == 3:
            card["AdditionalFlexibleNetworkInterfaces"] = 0
        network["NetworkCards"] = [[1, card]]
    ebs = {} if fields[5] == "-" else {"MaximumEbsAttachments": int(fields[5])}
    if fields[6] != "-":
        baseline, iops, *maximum = map(int, fields[6].split("/"))
        most, most_iops = maximum or (baseline, iops)
        ebs["EbsOptimizedInfo"] = {
            "BaselineBandwidthInMbps": baseline,
            "BaselineThroughputInMBps": baseline / 8,
            "BaselineIops": iops,
            "MaximumBandwidthInMbps": most,
            "MaximumThroughputInMBps": most / 8,
            "MaximumIops": most_iops,
        }
    if ebs:
        answer["EbsInfo"] = ebs
    if fields[7] != "-":
        count, size = map(int, fields[7].split("x"))
        disk = {"Count": count, "SizeInGB": size, "Type": "ssd"}
        answer["InstanceStorageInfo"] = {"Disks": [disk], "TotalSizeInGB": count * size}
    if fields[8] != "-":
        bounds, _, step = fields[8].partition("/")
        if step:
            first, last = map(int, bounds.split("-"))
            processors["ValidCores"] = list(range(first, last + 1, int(step)))
        else:
            processors["ValidCores"] = [int(core) for core in bounds.split(",")]
        processors["ValidThreadsPerCore"] = list(range(1, threads + 1))
    return answer


def packed(answer):
    """An answer without what follows from the rest of it: which cards there are of a kind, and what EFA means for networks."""
    network, ebs = dict(answer["NetworkInfo"]), dict(answer["EbsInfo"])
    efa = network.pop("EfaSupported")
    assert efa == ("EfaInfo" in network)
    usual = {"InterfaceTypes": ["interface", "efa", "efa-only"] if efa else ["interface"]}
    network["NetworkCards"] = kinds([without(card, usual) for card in network["NetworkCards"]], "NetworkCardIndex")
    if "EbsCards" in ebs:
        ebs["EbsCards"] = kinds(ebs["EbsCards"], "EbsCardIndex")
    return {**answer, "NetworkInfo": network, "EbsInfo": ebs}


def kinds(cards, index):
    """How many cards there are of each kind."""
    found = []
    for at, card in enumerate(cards):
        assert card[index] == at
        card = {name: value for name, value in card.items() if name != index}
        if found and found[-1][1] == card:
            found[-1][0] += 1
        else:
            found.append([1, card])
    return found


def without(answer, known):
    """What an answer has besides what is known, or says otherwise; `None` where it lacks it."""
    rest = {name: None for name in known if name not in answer}
    for name, value in answer.items():
        if isinstance(value, dict) and isinstance(known.get(name), dict):
            value = without(value, known[name])
            if value:
                rest[name] = value
        elif name not in known or known[name] != value:
            rest[name] = value
    return rest


def common(answers):
    """What most have."""
    shared = {}
    for name in sorted({name for answer in answers for name in answer}):
        values = [answer.get(name) for answer in answers]
        counts = {json.dumps(value): values.count(value) for value in values}
        if all(isinstance(value, dict) for value in values if value is not None) and values.count(None) * 2 < len(values):
            shared[name] = common([value for value in values if value is not None])
        elif (most := json.loads(max(counts, key=counts.get))) is not None:
            shared[name] = most
    return shared


def merged(under, over):
    """Two structures in one; where both say something, the second one does."""
    result = dict(under)
    for name, value in over.items():
        if value is None:
            result.pop(name, None)
        else:
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


def lines(answers):
    compact = lambda value: json.dumps(value, separators=(",", ":"), sort_keys=True)
    fields = {name: columns(answer) for name, answer in answers.items()}
    packs = {name: packed(answer) for name, answer in answers.items()}
    rests = {name: without(pack, said(name, fields[name])) for name, pack in packs.items()}
    families = {}
    for name in sorted(answers):
        families.setdefault(name.partition(".")[0], []).append(name)
    most = common(list(rests.values()))
    yield f"*\t{compact(most)}"
    for family, names in sorted(families.items()):
        own = without(common([rests[name] for name in names]), most)
        known = merged(most, own)
        yield f"{family}\t{compact(own)}"
        for name in names:
            under = merged(said(name, fields[name]), known)
            rest = without(packs[name], under)
            assert merged(under, rest) == packs[name], name
            yield "\t".join([name, *fields[name], *([compact(rest)] if rest else [])])


def main():
    answers, origin = source()
    PATH.write_text(f"# {origin}: {COLUMNS}\n" + "".join(f"{line}\n" for line in lines(answers)))
    print(f"{PATH.name}: {len(answers)} types, {PATH.stat().st_size} bytes")


def compare(codec):
    """Asks the account for all types, and looks whether EC2 says the same of each."""
    import check

    answers, _ = source()
    codec = check.Codec(codec)
    names = sorted(answers)
    for at in range(0, len(names), 100):
        asked = "".join(f"&InstanceType.{n}={name}" for n, name in enumerate(names[at : at + 100], 1))
        answer = codec.ask(call=f"Action=DescribeInstanceTypes&Version={check.VERSION}{asked}")
        shown = {shown["InstanceType"]: shown for shown in answer["output"]["InstanceTypes"]}
        for name in names[at : at + 100]:
            assert shown[name] == answers[name], (name, without(answers[name], shown[name]), without(shown[name], answers[name]))
    codec.end()
    print(f"{len(names)} types: no difference")


if __name__ == "__main__":
    main() if len(sys.argv) == 1 else compare(sys.argv[1])
