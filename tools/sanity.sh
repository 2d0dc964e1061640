#!/bin/sh
# Run ansible-test sanity on this checkout, with pip as its only source.
#
#   tools/sanity.sh [ansible-test's own options, such as --test validate-modules]
#
# ansible-test follows no links and sees nothing inside a git-ignored folder, so it
# gets a copy with a repository of its own. It strips pip's settings from the
# environment and fetches pip by a script from elsewhere; a private home folder
# gives it both. Results as JUnit files: .cache/sanity/**/tests/output/junit.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
tree=$root/.cache/sanity/ansible_collections
copy=$tree/phoenix/webstack
home=$root/.cache/sanity/home
installed=$root/.ansible/collections/ansible_collections

copy_checkout() {
    rm -rf "$copy"
    mkdir -p "$copy"
    for namespace in "$installed"/*; do
        [ "${namespace##*/}" = phoenix ] || ln -sfn "$namespace" "$tree/${namespace##*/}"
    done
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        tar --null --files-from - --ignore-failed-read --create --file - 2>/dev/null |
        tar --extract --file - --directory "$copy"
    git -C "$copy" init --quiet
    git -C "$copy" add --all
}

prepare_home() {
    mkdir -p "$home/.ansible/test/cache" "$home/.config/pip"
    version=$(sed -n "s/^ *pip='\(.*\)',/\1/p" "$root"/.venv/lib/python3*/site-packages/ansible_test/_internal/python_requirements.py)
    cp tools/get_pip.py "$home/.ansible/test/cache/get_pip_$(printf '%s' "$version" | tr . _).py"
    if [ -n "${PIP_CERT:-}" ]; then
        printf '[global]\ncert = %s\n' "$PIP_CERT" >"$home/.config/pip/pip.conf"
    fi
}

copy_checkout
prepare_home
cd "$copy"
# Only the system's own interpreters: a version manager's shims end in errors.
HOME=$home PATH=$root/.venv/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    exec ansible-test sanity --local --junit --color no "$@" </dev/null
