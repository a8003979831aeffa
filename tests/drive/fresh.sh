# Makes the calling shell's mount namespace that of a host as its distribution leaves it: nobody logged in, nothing of Ferry, and device
# files with the owners and modes that udev gives them. $1 is an empty folder. Whatever is done here to files is gone with the namespace.
set -e
mount --make-rprivate /
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
for dir in /run /home /var/lib /usr/local; do mount -t tmpfs -o mode=755 tmpfs $dir; done
mkdir "$1/home" && mount --bind "$1/home" /home
mkdir -p /usr/local/bin /run/user /run/dev/net /run/dev/shm
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /run/dev
cp -a /dev/kvm /dev/userfaultfd /run/dev
cp -a /dev/net/tun /run/dev/net
mount --bind /run/dev /dev
getent group kvm >/dev/null || groupadd -r kvm
chgrp kvm /dev/kvm
chmod 660 /dev/kvm
chown root:root /dev/userfaultfd
chmod 600 /dev/userfaultfd
chmod 666 /dev/net/tun
useradd -m -s /bin/bash alice
