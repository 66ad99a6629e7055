
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'podnet' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'podnet'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'podnet' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('trace', 'trace', [CompletionResultType]::ParameterValue, 'Show the way of a container''s packets: pod, veth, bridge, route, uplink')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List every network namespace, who is in it and how it is wired')
            [CompletionResult]::new('snapshot', 'snapshot', [CompletionResultType]::ParameterValue, 'Record everything that podnet sees of this machine, to be asked later and elsewhere')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Build a private node to try podnet on; no root needed, nothing left behind')
            [CompletionResult]::new('attach', 'attach', [CompletionResultType]::ParameterValue, 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails')
            [CompletionResult]::new('detach', 'detach', [CompletionResultType]::ParameterValue, 'Take away what attach made, and only that')
            [CompletionResult]::new('exec', 'exec', [CompletionResultType]::ParameterValue, 'Run a program of this machine in the network of a namespace')
            [CompletionResult]::new('schema', 'schema', [CompletionResultType]::ParameterValue, 'Print the JSON Schema of what --json writes')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'podnet;trace' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Follow packets to this address or target, instead of to wherever each interface leads')
            [CompletionResult]::new('--snapshot', '--snapshot', [CompletionResultType]::ParameterName, 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'The packets'' source address, instead of the one that the namespace picks')
            [CompletionResult]::new('--proto', '--proto', [CompletionResultType]::ParameterName, 'Their protocol, which policy rules and firewalls may look at')
            [CompletionResult]::new('--sport', '--sport', [CompletionResultType]::ParameterName, 'Their source port')
            [CompletionResult]::new('--dport', '--dport', [CompletionResultType]::ParameterName, 'Their destination port')
            [CompletionResult]::new('--mark', '--mark', [CompletionResultType]::ParameterName, 'Their firewall mark, as it is where they start: 7 or 0x7')
            [CompletionResult]::new('--tos', '--tos', [CompletionResultType]::ParameterName, 'Their type of service, the whole byte: 16 or 0x10')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--reply', '--reply', [CompletionResultType]::ParameterName, 'Follow the answers'' way, too, and say where the two differ')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Follow IPv4 only')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Follow IPv4 only')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Follow IPv6 only')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Follow IPv6 only')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;list' {
            [CompletionResult]::new('--bridge', '--bridge', [CompletionResultType]::ParameterName, 'Only namespaces with a link on this bridge, or the bridge itself')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Only namespaces whose name, or that of a container in them, matches; * and ? stand for any text and any character')
            [CompletionResult]::new('--holder', '--holder', [CompletionResultType]::ParameterName, 'Only namespaces that something of this kind holds')
            [CompletionResult]::new('--snapshot', '--snapshot', [CompletionResultType]::ParameterName, 'Answer from this recording instead of the machine; may be given several times, a folder, or - for stdin')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--deep', '--deep', [CompletionResultType]::ParameterName, 'Also look at threads, open files and sockets: slower, needs root to see those of others')
            [CompletionResult]::new('--wide', '--wide', [CompletionResultType]::ParameterName, 'All columns, as wide as they are')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;snapshot' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to this file, compressed if its name ends in .gz; without it to stdout')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to this file, compressed if its name ends in .gz; without it to stdout')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--anonymise', '--anonymise', [CompletionResultType]::ParameterName, 'Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay')
            [CompletionResult]::new('--anonymize', '--anonymize', [CompletionResultType]::ParameterName, 'Hide names and addresses, each by the same other one everywhere; the wiring and what routing decides stay')
            [CompletionResult]::new('--deep', '--deep', [CompletionResultType]::ParameterName, 'Also look at threads, open files and sockets: slower, needs root to see those of others')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;demo' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--shell', '--shell', [CompletionResultType]::ParameterName, 'Open a shell in the node')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;attach' {
            [CompletionResult]::new('--ifname', '--ifname', [CompletionResultType]::ParameterName, 'Name of the new link in the namespace')
            [CompletionResult]::new('--host-ifname', '--host-ifname', [CompletionResultType]::ParameterName, 'Name of its other end on the host, instead of one that is made up')
            [CompletionResult]::new('--mac', '--mac', [CompletionResultType]::ParameterName, 'Link-layer address, instead of one that the kernel draws')
            [CompletionResult]::new('--mtu', '--mtu', [CompletionResultType]::ParameterName, 'MTU, instead of the bridge''s')
            [CompletionResult]::new('--bridge', '--bridge', [CompletionResultType]::ParameterName, 'Bridge to plug it into; it is made where it is missing')
            [CompletionResult]::new('--macvlan', '--macvlan', [CompletionResultType]::ParameterName, 'No pair: a macvlan on this link of the host')
            [CompletionResult]::new('--address', '--address', [CompletionResultType]::ParameterName, 'This address with the length of its network''s prefix')
            [CompletionResult]::new('--subnet', '--subnet', [CompletionResultType]::ParameterName, 'The next free address of this network')
            [CompletionResult]::new('--range', '--range', [CompletionResultType]::ParameterName, 'Only addresses of this part of a --subnet')
            [CompletionResult]::new('--network', '--network', [CompletionResultType]::ParameterName, 'Name of the network in the address store, instead of the bridge''s')
            [CompletionResult]::new('--ipam-dir', '--ipam-dir', [CompletionResultType]::ParameterName, 'Address store, shared with the CNI plugin host-local')
            [CompletionResult]::new('--gateway', '--gateway', [CompletionResultType]::ParameterName, 'Whom everything else goes to, one for each family, or none; else the host')
            [CompletionResult]::new('--route', '--route', [CompletionResultType]::ParameterName, 'One more route: to a network, by a router or else by the gateway')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Seconds to wait for the link to work, and for another podnet that holds the lock and does nothing')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Show what would be done, as commands that do the same, and change nothing')
            [CompletionResult]::new('--ptp', '--ptp', [CompletionResultType]::ParameterName, 'No bridge: a pair, and a route on the host')
            [CompletionResult]::new('--hairpin', '--hairpin', [CompletionResultType]::ParameterName, 'Let the bridge send frames back out of the port they came in by')
            [CompletionResult]::new('--isolated', '--isolated', [CompletionResultType]::ParameterName, 'Keep it apart from the bridge''s other isolated ports')
            [CompletionResult]::new('--masquerade', '--masquerade', [CompletionResultType]::ParameterName, 'Hide the addresses behind the host''s outside their network')
            [CompletionResult]::new('--no-default-route', '--no-default-route', [CompletionResultType]::ParameterName, 'The gateway is not the way to everywhere')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;detach' {
            [CompletionResult]::new('--ifname', '--ifname', [CompletionResultType]::ParameterName, 'Name of the link in the namespace')
            [CompletionResult]::new('--ipam-dir', '--ipam-dir', [CompletionResultType]::ParameterName, 'Address store')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Seconds to wait for another podnet that holds the lock and does nothing')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--keep-bridge', '--keep-bridge', [CompletionResultType]::ParameterName, 'Leave the bridge, now and later: it is yours from now on')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Also delete a link that podnet did not make')
            [CompletionResult]::new('--gc', '--gc', [CompletionResultType]::ParameterName, 'List what dead pods have left: links, addresses, rules, bridges')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Remove what --gc lists')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;exec' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;schema' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the text')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Write one JSON document instead of text')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII characters only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'podnet;help' {
            [CompletionResult]::new('trace', 'trace', [CompletionResultType]::ParameterValue, 'Show the way of a container''s packets: pod, veth, bridge, route, uplink')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List every network namespace, who is in it and how it is wired')
            [CompletionResult]::new('snapshot', 'snapshot', [CompletionResultType]::ParameterValue, 'Record everything that podnet sees of this machine, to be asked later and elsewhere')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Build a private node to try podnet on; no root needed, nothing left behind')
            [CompletionResult]::new('attach', 'attach', [CompletionResultType]::ParameterValue, 'Plug a namespace into a bridge: plan, do, verify, and undo where that fails')
            [CompletionResult]::new('detach', 'detach', [CompletionResultType]::ParameterValue, 'Take away what attach made, and only that')
            [CompletionResult]::new('exec', 'exec', [CompletionResultType]::ParameterValue, 'Run a program of this machine in the network of a namespace')
            [CompletionResult]::new('schema', 'schema', [CompletionResultType]::ParameterValue, 'Print the JSON Schema of what --json writes')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'podnet;help;trace' {
            break
        }
        'podnet;help;list' {
            break
        }
        'podnet;help;snapshot' {
            break
        }
        'podnet;help;demo' {
            break
        }
        'podnet;help;attach' {
            break
        }
        'podnet;help;detach' {
            break
        }
        'podnet;help;exec' {
            break
        }
        'podnet;help;schema' {
            break
        }
        'podnet;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
