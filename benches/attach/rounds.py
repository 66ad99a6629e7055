"""Rounds of attach and detach in a private node; medians and their ratios to the floor's."""

import json
import os
import statistics
import subprocess
import sys
import time

work, ports, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CNI = "/usr/lib/cni"
NETNS = "/run/netns/blue"


def run(*args, **more):
    return subprocess.run(args, check=True, stdout=subprocess.DEVNULL, **more)


def timed(*args, **more):
    before = time.perf_counter()
    run(*args, **more)
    return (time.perf_counter() - before) * 1000


def sh(script):
    run("sh", "-euc", script)


sh("""sysctl -qw net.ipv4.ip_forward=1; ip netns add blue
    ip link add cni0 address 02:00:00:00:00:01 type bridge; ip addr add 10.22.0.1/16 dev cni0; ip link set cni0 up""")
with open("/run/batch", "w") as batch:
    for i in range(ports):
        print(f"link add p{i} type veth peer name q{i}", file=batch)
        print(f"link set p{i} master cni0 up", file=batch)
        print(f"link set p{i} type bridge_slave mcast_flood off", file=batch)
run("ip", "-batch", "/run/batch")

config = json.dumps({
    "cniVersion": "0.4.0", "name": "cni0", "type": "bridge", "bridge": "cni0", "isDefaultGateway": True,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/16"}]]},
}).encode()


def cni(command):
    more = {"CNI_COMMAND": command, "CNI_CONTAINERID": "blue", "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0", "CNI_PATH": CNI}
    return lambda: timed(f"{CNI}/bridge", input=config, env={**os.environ, **more})


podnet, floor = f"{work}/podnet", f"{work}/floor"
tools = {
    "floor": (
        lambda: timed(floor, NETNS, "veth0", "cni0", "10.22.99.99", "10.22.0.1"),
        lambda: timed(floor, "veth0"),
    ),
    "podnet": (
        lambda: timed(podnet, "attach", NETNS, "--bridge", "cni0"),
        lambda: timed(podnet, "detach", NETNS),
    ),
}
if os.path.exists(f"{CNI}/bridge"):
    tools["CNI bridge + host-local"] = (cni("ADD"), cni("DEL"))

times = {name: ([], []) for name in tools}
for _ in range(rounds):
    for name, (attach, detach) in tools.items():
        times[name][0].append(attach())
        times[name][1].append(detach())
        # The kernel's barrier behind the announcement is nobody's time but the next one's.
        time.sleep(0.05)

print(f"{ports} ports, {rounds} rounds, medians in ms")
least = [statistics.median(all) for all in times["floor"]]
for name, both in times.items():
    medians = [statistics.median(all) for all in both]
    words = [f"{median:7.2f} (x{median / lowest:.2f})" for median, lowest in zip(medians, least)]
    print(f"{name:24} attach {words[0]}   detach {words[1]}")
