
use builtin;
use str;

set edit:completion:arg-completer[podnet] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'podnet'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'podnet'= {
            cand --color 'Colour the text'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand trace 'Show the way of a container''s packets: pod, veth, bridge, route, uplink'
            cand list 'List every network namespace, who is in it and how it is wired'
            cand snapshot 'Record everything that podnet sees of this machine, to be asked later and elsewhere'
            cand demo 'Build a private node to try podnet on; no root needed, nothing left behind'
            cand attach 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails'
            cand detach 'Take away what attach made, and only that'
            cand exec 'Run a program of this machine in the network of a namespace'
            cand schema 'Print the JSON Schema of what --json writes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'podnet;trace'= {
            cand --to 'Follow packets to this address or target, instead of to wherever each interface leads'
            cand --snapshot 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin'
            cand --from 'The packets'' source address, instead of the one that the namespace picks'
            cand --proto 'Their protocol, which policy rules and firewalls may look at'
            cand --sport 'Their source port'
            cand --dport 'Their destination port'
            cand --mark 'Their firewall mark, as it is where they start: 7 or 0x7'
            cand --tos 'Their type of service, the whole byte: 16 or 0x10'
            cand --color 'Colour the text'
            cand --reply 'Follow the answers'' way, too, and say where the two differ'
            cand -4 'Follow IPv4 only'
            cand --ipv4 'Follow IPv4 only'
            cand -6 'Follow IPv6 only'
            cand --ipv6 'Follow IPv6 only'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;list'= {
            cand --bridge 'Only namespaces with a link on this bridge, or the bridge itself'
            cand --name 'Only namespaces whose name, or that of a container in them, matches; * and ? stand for any text and any character'
            cand --holder 'Only namespaces that something of this kind holds'
            cand --snapshot 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin'
            cand --color 'Colour the text'
            cand --deep 'Also look at threads, open files and sockets: slower, needs root to see those of others'
            cand --wide 'All columns, as wide as they are'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;snapshot'= {
            cand -o 'Write to this file, compressed if its name ends in .gz; without it to stdout'
            cand --output 'Write to this file, compressed if its name ends in .gz; without it to stdout'
            cand --color 'Colour the text'
            cand --anonymise 'Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay'
            cand --anonymize 'Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay'
            cand --deep 'Also look at threads, open files and sockets: slower, needs root to see those of others'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;demo'= {
            cand --color 'Colour the text'
            cand --shell 'Open a shell in the node'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;attach'= {
            cand --ifname 'Name of the new link in the namespace'
            cand --host-ifname 'Name of its other end on the host, instead of one that is made up'
            cand --mac 'Link-layer address, instead of one that the kernel draws'
            cand --mtu 'MTU, instead of the bridge''s'
            cand --bridge 'Bridge to plug it into; it is made where it is missing'
            cand --macvlan 'No pair: a macvlan on this link of the host'
            cand --address 'This address with the length of its network''s prefix'
            cand --subnet 'The next free address of this network'
            cand --range 'Only addresses of this part of a --subnet'
            cand --network 'Name of the network in the address store, instead of the bridge''s'
            cand --ipam-dir 'Address store, shared with the CNI plugin host-local'
            cand --gateway 'Whom everything else goes to, one for each family, or none; else the host'
            cand --route 'One more route: to a network, by a router or else by the gateway'
            cand --wait 'Seconds to wait for the link to work, and for another podnet that holds the lock and does nothing'
            cand --color 'Colour the text'
            cand --dry-run 'Show what would be done, as commands that do the same, and change nothing'
            cand --ptp 'No bridge: a pair, and a route on the host'
            cand --hairpin 'Let the bridge send frames back out of the port they came in by'
            cand --isolated 'Keep it apart from the bridge''s other isolated ports'
            cand --masquerade 'Hide the addresses behind the host''s outside their network'
            cand --no-default-route 'The gateway is not the way to everywhere'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;detach'= {
            cand --ifname 'Name of the link in the namespace'
            cand --ipam-dir 'Address store'
            cand --wait 'Seconds to wait for another podnet that holds the lock and does nothing'
            cand --color 'Colour the text'
            cand --keep-bridge 'Leave the bridge, now and later: it is yours from now on'
            cand --force 'Also delete a link that podnet did not make'
            cand --gc 'List what dead pods have left: links, addresses, rules, bridges'
            cand --yes 'Remove what --gc lists'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;exec'= {
            cand --color 'Colour the text'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;schema'= {
            cand --color 'Colour the text'
            cand --json 'Write one JSON document instead of text'
            cand --ascii 'Draw with ASCII characters only'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'podnet;help'= {
            cand trace 'Show the way of a container''s packets: pod, veth, bridge, route, uplink'
            cand list 'List every network namespace, who is in it and how it is wired'
            cand snapshot 'Record everything that podnet sees of this machine, to be asked later and elsewhere'
            cand demo 'Build a private node to try podnet on; no root needed, nothing left behind'
            cand attach 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails'
            cand detach 'Take away what attach made, and only that'
            cand exec 'Run a program of this machine in the network of a namespace'
            cand schema 'Print the JSON Schema of what --json writes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'podnet;help;trace'= {
        }
        &'podnet;help;list'= {
        }
        &'podnet;help;snapshot'= {
        }
        &'podnet;help;demo'= {
        }
        &'podnet;help;attach'= {
        }
        &'podnet;help;detach'= {
        }
        &'podnet;help;exec'= {
        }
        &'podnet;help;schema'= {
        }
        &'podnet;help;help'= {
        }
    ]
    $completions[$command]
}
