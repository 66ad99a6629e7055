# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_podnet_global_optspecs
    string join \n json color= ascii h/help V/version
end

function __fish_podnet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_podnet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_podnet_using_subcommand
    set -l cmd (__fish_podnet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c podnet -n "__fish_podnet_needs_command" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_needs_command" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_needs_command" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_needs_command" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "trace" -d 'Show the way of a container\'s packets: pod, veth, bridge, route, uplink'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "list" -d 'List every network namespace, who is in it and how it is wired'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "snapshot" -d 'Record everything that podnet sees of this machine, to be asked later and elsewhere'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "demo" -d 'Build a private node to try podnet on; no root needed, nothing left behind'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "attach" -d 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "detach" -d 'Take away what attach made, and only that'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "exec" -d 'Run a program of this machine in the network of a namespace'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "schema" -d 'Print the JSON Schema of what --json writes'
complete -c podnet -n "__fish_podnet_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l to -d 'Follow packets to this address or target, instead of to wherever each interface leads' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l snapshot -d 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin' -r -F
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l from -d 'The packets\' source address, instead of the one that the namespace picks' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l proto -d 'Their protocol, which policy rules and firewalls may look at' -r -f -a "tcp\t'TCP'
udp\t'UDP'
icmp\t'ICMP, ICMPv6 for an IPv6 address'"
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l sport -d 'Their source port' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l dport -d 'Their destination port' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l mark -d 'Their firewall mark, as it is where they start: 7 or 0x7' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l tos -d 'Their type of service, the whole byte: 16 or 0x10' -r
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l reply -d 'Follow the answers\' way, too, and say where the two differ'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -s 4 -l ipv4 -d 'Follow IPv4 only'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -s 6 -l ipv6 -d 'Follow IPv6 only'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand trace" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand list" -l bridge -d 'Only namespaces with a link on this bridge, or the bridge itself' -r
complete -c podnet -n "__fish_podnet_using_subcommand list" -l name -d 'Only namespaces whose name, or that of a container in them, matches; * and ? stand for any text and any character' -r
complete -c podnet -n "__fish_podnet_using_subcommand list" -l holder -d 'Only namespaces that something of this kind holds' -r -f -a "process\t'A process'
thread\t'A thread whose namespace is not its process\'s (with --deep)'
mount\t'A bind mount'
fd\t'An open file (with --deep)'
socket\t'A socket (with --deep)'
none\t'Nothing that podnet found'"
complete -c podnet -n "__fish_podnet_using_subcommand list" -l snapshot -d 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin' -r -F
complete -c podnet -n "__fish_podnet_using_subcommand list" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand list" -l deep -d 'Also look at threads, open files and sockets: slower, needs root to see those of others'
complete -c podnet -n "__fish_podnet_using_subcommand list" -l wide -d 'All columns, as wide as they are'
complete -c podnet -n "__fish_podnet_using_subcommand list" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand list" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand list" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -s o -l output -d 'Write to this file, compressed if its name ends in .gz; without it to stdout' -r -F
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -l anonymise -l anonymize -d 'Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -l deep -d 'Also look at threads, open files and sockets: slower, needs root to see those of others'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand snapshot" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand demo" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand demo" -l shell -d 'Open a shell in the node'
complete -c podnet -n "__fish_podnet_using_subcommand demo" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand demo" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand demo" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l ifname -d 'Name of the new link in the namespace' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l host-ifname -d 'Name of its other end on the host, instead of one that is made up' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l mac -d 'Link-layer address, instead of one that the kernel draws' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l mtu -d 'MTU, instead of the bridge\'s' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l bridge -d 'Bridge to plug it into; it is made where it is missing' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l macvlan -d 'No pair: a macvlan on this link of the host' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l address -d 'This address with the length of its network\'s prefix' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l subnet -d 'The next free address of this network' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l range -d 'Only addresses of this part of a --subnet' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l network -d 'Name of the network in the address store, instead of the bridge\'s' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l ipam-dir -d 'Address store, shared with the CNI plugin host-local' -r -F
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l gateway -d 'Whom everything else goes to, one for each family, or none; else the host' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l route -d 'One more route: to a network, by a router or else by the gateway' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l wait -d 'Seconds to wait for the link to work, and for another podnet that holds the lock and does nothing' -r
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l dry-run -d 'Show what would be done, as commands that do the same, and change nothing'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l ptp -d 'No bridge: a pair, and a route on the host'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l hairpin -d 'Let the bridge send frames back out of the port they came in by'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l isolated -d 'Keep it apart from the bridge\'s other isolated ports'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l masquerade -d 'Hide the addresses behind the host\'s outside their network'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l no-default-route -d 'The gateway is not the way to everywhere'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand attach" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l ifname -d 'Name of the link in the namespace' -r
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l ipam-dir -d 'Address store' -r -F
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l wait -d 'Seconds to wait for another podnet that holds the lock and does nothing' -r
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l keep-bridge -d 'Leave the bridge, now and later: it is yours from now on'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l force -d 'Also delete a link that podnet did not make'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l gc -d 'List what dead pods have left: links, addresses, rules, bridges'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l yes -d 'Remove what --gc lists'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand detach" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand exec" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand exec" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand exec" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand exec" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand schema" -l color -d 'Colour the text' -r -f -a "auto\t'When stdout is a terminal and NO_COLOR is not set'
always\t'Always'
never\t'Never'"
complete -c podnet -n "__fish_podnet_using_subcommand schema" -l json -d 'Write one JSON document instead of text'
complete -c podnet -n "__fish_podnet_using_subcommand schema" -l ascii -d 'Draw with ASCII characters only'
complete -c podnet -n "__fish_podnet_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podnet -n "__fish_podnet_using_subcommand schema" -s V -l version -d 'Print version'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "trace" -d 'Show the way of a container\'s packets: pod, veth, bridge, route, uplink'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "list" -d 'List every network namespace, who is in it and how it is wired'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "snapshot" -d 'Record everything that podnet sees of this machine, to be asked later and elsewhere'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "demo" -d 'Build a private node to try podnet on; no root needed, nothing left behind'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "attach" -d 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "detach" -d 'Take away what attach made, and only that'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "exec" -d 'Run a program of this machine in the network of a namespace'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "schema" -d 'Print the JSON Schema of what --json writes'
complete -c podnet -n "__fish_podnet_using_subcommand help; and not __fish_seen_subcommand_from trace list snapshot demo attach detach exec schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
