# Runs a command as the only one in a file system of its own: sandbox.sh ROOT BINARY USER GROUP [SOURCE TARGET]... -- ARGUMENT...
# To be run where it is root of new user and mount namespaces. The process keeps its id from here to the command itself.
set -eu
root=$1 binary=$2 user=$3 group=$4
shift 4

mount -t tmpfs -o mode=755 pod "$root"
for part in /usr /lib /lib64 /etc/ssl /proc; do
  [ -d "$part" ] || continue
  mkdir -p "$root$part"
  mount --rbind "$part" "$root$part"
done
touch "$root/entrypoint"
mount --bind "$binary" "$root/entrypoint"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind -o ro "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"

# A second user namespace takes the capabilities away that the mounts needed.
exec unshare --user --map-user="$user" --map-group="$group" --root "$root" --wd / -- /entrypoint "$@"
