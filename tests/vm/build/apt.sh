# shellcheck shell=bash
# Debian packages of any suite, resolved and downloaded by apt in private directories: the host's own apt is not touched.

# The mirrors this machine already uses: "main URI" and "security URI", from whichever format its apt is set up in.
host_mirrors() {
    local deb822=/etc/apt/sources.list.d/debian.sources list=/etc/apt/sources.list
    if [ -e "$deb822" ]; then
        awk -v RS= '
            function field(name,    i, lines, n) {
                n = split($0, lines, "\n")
                for (i = 1; i <= n; i++)
                    if (index(tolower(lines[i]), name ":") == 1)
                        return substr(lines[i], length(name) + 2)
                return ""
            }
            { split(field("uris"), uri, " "); print (field("suites") ~ /-security/ ? "security" : "main"), uri[1] }' "$deb822"
    elif [ -e "$list" ]; then
        sed -n 's/^deb \+\(\[[^]]*\] \+\)\?//p' "$list" | awk '{ print ($2 ~ /-security|\/updates$/ ? "security" : "main"), $1 }'
    fi
}

# apt_setup SUITE STATUS: a private apt for SUITE; STATUS lists the packages it shall take for installed. Sets APT_DIR.
apt_setup() {
    local suite=$1 status=$2 key=/usr/share/keyrings/debian-archive-keyring.gpg main security
    main=$(host_mirrors | awk '$1 == "main" { print $2; exit }')
    security=$(host_mirrors | awk '$1 == "security" { print $2; exit }')
    [ -n "$main" ] || die 'found no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list'
    APT_DIR=$CACHE/apt/$suite
    mkdir -p "$APT_DIR"/{lists/partial,cache/archives/partial}
    {
        printf 'deb [signed-by=%s] %s %s main\n' "$key" "$main" "$suite"
        [ -z "$security" ] || printf 'deb [signed-by=%s] %s %s-security main\n' "$key" "$security" "$suite"
    } >"$APT_DIR/sources.list"
    {
        # how this machine reaches its mirrors still counts
        APT_CONFIG='' apt-config dump | grep -i '^Acquire::.*Proxy' || :
        cat <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$APT_DIR/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$APT_DIR/lists";
Dir::State::status "$status";
Dir::Cache "$APT_DIR/cache";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dpkg::Use-Pty "0";
CONF
    } >"$APT_DIR/apt.conf"
    private_apt apt-get -qq update >&2
}

private_apt() { # private_apt apt-get|apt-cache ARGUMENT...
    APT_CONFIG=$APT_DIR/apt.conf "$@"
}

# fetch_packages PACKAGE...: downloads them with all they depend on, and prints the archives' paths
fetch_packages() {
    private_apt apt-get -qq -y --download-only install "$@" >&2
    private_apt apt-get -qq --simulate install "$@" |
        awk '$1 == "Inst" { version = $3; sub(/^\(/, "", version); gsub(/:/, "%3a", version); print $2 "_" version "_" }' |
        while read -r stem; do
            ls "$APT_DIR/cache/archives/$stem"*.deb
        done
}

# Nobody reads manuals in there, and a third of a root file system is such things.
UNPACK_WITHOUT=(
    ./usr/share/{doc,man,info,locale,i18n,lintian,bash-completion,zsh,perl}
    ./usr/lib/x86_64-linux-gnu/{gconv,perl}
    ./usr/lib/udev/hwdb.d ./lib/udev/hwdb.d
)

# unpack_packages DIR: the archives named on stdin, into DIR with a merged /usr; no maintainer script is run
unpack_packages() {
    local dir=$1 link
    mkdir -p "$dir"/usr/{bin,sbin,lib,lib64}
    for link in bin sbin lib lib64; do
        ln -s "usr/$link" "$dir/$link"
    done
    # shellcheck disable=SC2016 # the inner shell expands these
    EXCLUDES="${UNPACK_WITHOUT[*]/#/--exclude=}" DIR=$dir xargs -P 2 -n 1 sh -c '
        dpkg-deb --fsys-tarfile "$1" |
            tar -x -C "$DIR" -p --keep-directory-symlink --no-overwrite-dir $EXCLUDES' unpack
}
