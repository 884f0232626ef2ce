# Runs an image's entrypoint in a file system of its own:
#   sandbox.sh ROOT IMAGE ENTRYPOINT USER GROUP [SOURCE TARGET]... -- ARGUMENT...
# IMAGE is a directory with the image's files, or else the entrypoint itself, which then finds the libraries of this machine.
# To be run where it is root of new user and mount namespaces. The process keeps its id from here to the entrypoint.
set -eu
root=$1 image=$2 entrypoint=$3 user=$4 group=$5
shift 5

mount -t tmpfs -o mode=755 pod "$root"
parts=/proc
if [ -d "$image" ]; then
  cp -R "$image/." "$root"
else
  parts="$parts /usr /lib /lib64 /etc/ssl"
  touch "$root$entrypoint"
  mount --bind "$image" "$root$entrypoint"
fi
for part in $parts; do
  [ -d "$part" ] || continue
  mkdir -p "$root$part"
  mount --rbind "$part" "$root$part"
done
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind -o ro "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"

# A second user namespace takes the capabilities away that the mounts needed.
exec unshare --user --map-user="$user" --map-group="$group" --root "$root" --wd / -- "$entrypoint" "$@"
