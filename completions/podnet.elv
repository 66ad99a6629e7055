
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
            cand demo 'Build a private node to try podnet on; no root needed, nothing left behind'
            cand schema 'Print the JSON Schema of what --json writes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'podnet;trace'= {
            cand --to 'Follow packets to this address or target, instead of to wherever each interface leads'
            cand --from 'The packets'' source address, instead of the one that the namespace picks'
            cand --proto 'Their protocol'
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
            cand demo 'Build a private node to try podnet on; no root needed, nothing left behind'
            cand schema 'Print the JSON Schema of what --json writes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'podnet;help;trace'= {
        }
        &'podnet;help;list'= {
        }
        &'podnet;help;demo'= {
        }
        &'podnet;help;schema'= {
        }
        &'podnet;help;help'= {
        }
    ]
    $completions[$command]
}
