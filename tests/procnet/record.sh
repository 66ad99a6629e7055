#!/bin/bash
# Records /proc/PID/net of a few pods with what `ip -j` says of the same namespaces at the same time, for the unit tests
# of kernel::procnet. Run as root in a network namespace of its own, it touches no other:
#     unshare -n tests/procnet/record.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# pod CASE: a namespace with an eth0 that is up, its other end in a bridge here; commands for it on stdin.
# The look-ups to record are in the array `get`, "DST [oif DEV] [from SRC]" each.
pod() {
    local case=$here/$1 pid
    unshare -n sleep 1000 & pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
    ip link add name "v$1" type veth peer name eth0 netns $pid
    ip link set "v$1" up
    nsenter -t $pid -n bash -eu -c "ip link set lo up; ip link set eth0 up; $(cat)"
    # IPv6 addresses are not used before they are known to be unique.
    while nsenter -t $pid -n ip -6 addr show tentative | grep -q .; do sleep 0.1; done
    rm -rf "$case"; mkdir -p "$case/dev_snmp6"
    for file in dev igmp if_inet6 fib_trie route ipv6_route arp; do cat /proc/$pid/net/$file > "$case/$file"; done
    for file in /proc/$pid/net/dev_snmp6/*; do head -1 "$file" > "$case/dev_snmp6/${file##*/}"; done
    {
        echo '{ "addr":'; nsenter -t $pid -n ip -j addr
        echo ', "route":'; nsenter -t $pid -n ip -j -4 route show table all
        echo ', "route6":'; nsenter -t $pid -n ip -j -6 route show table all
        echo ', "get": [ null'
        for query in "${get[@]}"; do
            answer=$(nsenter -t $pid -n ip -j route get $query 2>&1) || answer="\"${answer##*: }\""
            echo ", { \"query\": \"$query\", \"answer\": ${answer:-null} }"
        done
        echo '] }'
    } > "$case/truth.json"
    kill $pid; wait $pid 2>/dev/null || true
}

get=(10.244.1.1 10.244.1.9 10.96.0.10 8.8.8.8 10.244.1.5 127.0.0.1 10.244.1.255 10.7.0.1 "8.8.8.8 oif eth0"
     "10.96.0.10 from 10.244.1.5" "8.8.8.8 from 9.9.9.9" 2001:db8::1 fe80::1)
pod pod <<'IP'
    ip addr add 10.244.1.5/24 brd + dev eth0
    ip route add default via 10.244.1.1
    ip route add 10.96.0.0/12 via 10.244.1.2 metric 7 mtu 1300
    ip route add 10.244.1.0/28 dev eth0
    ip neigh add 10.244.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent
    ip neigh add 10.244.1.2 lladdr 02:00:00:00:00:02 dev eth0 nud reachable
    ip neigh add 10.244.1.3 dev eth0 nud failed
    ip link add down0 type bridge
IP

get=(169.254.1.1 8.8.8.8 192.168.7.12 192.168.7.13)
pod calico <<'IP'
    ip addr add 192.168.7.12/32 dev eth0
    ip route add 169.254.1.1 dev eth0
    ip route add default via 169.254.1.1
IP

get=(10.244.1.9 8.8.8.8 2001:db8::1 fd00:10:244::9 fd00:10:244::5 ::1 ff02::1 "2001:db8::1 oif lo" "2001:db8::1 oif eth0"
     fd00:99::1)
pod dual <<'IP'
    ip addr add 10.244.1.5/24 brd + dev eth0
    ip route add default via 10.244.1.1
    ip addr add fd00:10:244::5/64 dev eth0
    ip addr add 2001:db8:1::5/64 dev eth0
    ip -6 route add default via fd00:10:244::1
    ip -6 route add fd00:99::/32 via fe80::1 dev eth0 metric 9
    ip -6 route add fd00:99::/32 via fe80::2 dev eth0 metric 10
IP

get=(10.66.0.1 10.67.0.1 10.68.0.1 10.69.0.1 10.71.0.1 10.72.0.1 10.73.0.1 10.99.0.1 9.9.9.9
     "10.66.0.1 oif eth0" "10.70.0.1 oif lo" fd00:66::1 fd00:67::1 fd00:68::1 fd00:69::1 fd00:70::1 fd00:71::1
     2001:db8::1 "fd00:66::1 oif eth0")
pod refused <<'IP'
    ip addr add 10.1.2.3/24 dev eth0
    ip addr add fd00:1::3/64 dev eth0
    ip route add 10.0.0.0/8 via 10.1.2.1 metric 4294967290
    ip route add blackhole 10.66.0.0/16; ip route add unreachable 10.67.0.0/16
    ip route add prohibit 10.68.0.0/16; ip route add throw 10.69.0.0/16
    ip route add 10.70.0.0/16 nexthop via 10.1.2.8 nexthop via 10.1.2.9 weight 3
    ip route add 10.71.0.0/16 tos 0x10 via 10.1.2.8; ip route add 10.71.0.0/16 via 10.1.2.7
    ip route add 10.72.0.0/16 via inet6 fd00:1::9 dev eth0
    ip route add 10.73.0.0/16 via 10.1.2.5 metric 20; ip route add 10.73.0.0/16 via 10.1.2.6 metric 10
    ip -6 route add blackhole fd00:66::/64; ip -6 route add unreachable fd00:67::/64
    ip -6 route add prohibit fd00:68::/64; ip -6 route add throw fd00:69::/64
    ip -6 route add fd00:70::/64 nexthop via fd00:1::8 nexthop via fd00:1::9 weight 3
    ip -6 route add fd00::/16 via fd00:1::1
IP

get=(10.244.1.9 10.244.1.5 8.8.8.8 172.30.0.1 fd55::1 2001:db8::1 fd00:1::3)
pod rules <<'IP'
    ip addr add 10.244.1.5/24 dev eth0
    ip addr add fd00:1::3/64 dev eth0
    ip route add default via 10.244.1.1
    ip rule add from 10.244.1.5 lookup 100
    ip route add 172.30.0.0/16 via 10.244.1.50 table 100
    ip -6 route add default via fd00:1::1
    ip -6 rule add from fd00:1::3 lookup 101
    ip -6 route add fd55::/64 via fd00:1::50 table 101
    ip -6 rule add from fd01::4 lookup 102
IP

# Before a rule has been touched, local and main are one table: the longest prefix wins over both.
get=(10.8.0.7 10.8.0.5 10.9.9.9 10.50.0.1 10.50.0.2 10.0.0.1 10.0.0.99 172.16.0.2 172.16.0.1 203.0.113.7 8.8.8.8
     "10.0.0.99 oif mac0" "10.50.0.1 oif eth0")
pod odd <<'IP'
    ip link add mac0 link eth0 type macvlan; ip link set mac0 up
    ip addr add 10.0.0.1/24 dev eth0; ip addr add 10.0.0.2/24 dev eth0; ip addr add 10.0.0.3/24 dev mac0
    ip addr add 10.1.0.1/31 dev mac0
    ip addr add 10.50.0.1/24 dev lo
    ip addr add 172.16.0.1 peer 172.16.0.2 dev eth0
    ip addr add 203.0.113.7/32 dev lo
    ip route add local 10.8.0.0/24 dev lo; ip route add 10.8.0.5 via 10.0.0.9
    ip route add default dev eth0
IP

# Names may have any bytes but white space, '/' and ':'. ip writes those as no JSON that could be read back.
get=()
pod names <<'IP'
    ip link add $'a\xff\x1b[1m' link eth0 type macvlan; ip link set $'a\xff\x1b[1m' up
    ip link add $'*' link eth0 type macvlan; ip link set '*' up
    ip link add fifteen_letters link eth0 type macvlan; ip link set fifteen_letters up
    ip addr add 10.0.0.1/24 dev '*'; ip addr add 10.0.1.1/24 dev $'a\xff\x1b[1m'
    ip route add blackhole 10.66.0.0/16
IP
rm "$here/names/truth.json"
for file in "$here"/names/dev_snmp6/*; do case ${file##*/} in lo|eth0) ;; *) rm "$file" ;; esac; done
rmdir "$here"/*/dev_snmp6 2>/dev/null || true
