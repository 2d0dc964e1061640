"""Type commands on a host, and after each of them open new SSH connections to it.

Reads a JSON object from standard input: ``commands`` (what to type), ``exec`` (how to run something on the host
past SSH), ``ssh`` (its client with options), ``targets`` (where to log in), ``expected`` (the exit codes of the
logins after each command), ``bursts`` (how often to log in each time). Ends at the first surprise.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys


def main() -> None:
    """Type, log in, compare."""
    order = json.load(sys.stdin)
    for command in order["commands"]:
        typed = subprocess.run([*order["exec"], *shlex.split(command)], capture_output=True, text=True, check=False)
        if typed.returncode:
            sys.exit(f"`{command}` ended with {typed.returncode}: {typed.stdout}{typed.stderr}")
        for _each in range(order["bursts"]):
            # Both at once: a connection that is dropped takes its whole time to fail.
            logins = [
                subprocess.Popen(
                    [*order["ssh"], target, "true"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
                )
                for target in order["targets"]
            ]
            errors = [login.communicate()[1] for login in logins]
            codes = [login.returncode for login in logins]
            if codes != order["expected"]:
                sys.exit(f"after `{command}` the logins ended with {codes}, not {order['expected']}: {errors}")
        print(f"{command}: {order['expected']}")


if __name__ == "__main__":
    main()
