#!/bin/sh
# program.sh TAG[,TAG...] CLASS [ARGUMENT...] - runs inside the guest that `mkguest -l -j` made: mounts the virtiofs shares
# of these tags at /mnt/TAG and runs a Java program of the jars in /app. What it reads comes from the port "commands", where
# there is one. The exit code is the program's, or 1 when a share could not be mounted or unmounted.
export LC_ALL=C TZ=UTC
tags=$(echo $1 | tr , ' ') input=/dev/port.d/commands; shift
for tag in $tags; do
  mkdir -p /mnt/$tag && mount -t virtiofs $tag /mnt/$tag || exit 1
done
[ -e $input ] || input=/dev/null
mkfifo /run/commands   # Java takes what can be read like a file for one that can be sought
cat $input > /run/commands & reader=$!
java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m -XX:-UsePerfData --enable-native-access=ALL-UNNAMED \
  -cp "$(echo /app/*.jar | tr ' ' :)" "$@" < /run/commands
code=$?
kill $reader 2>/dev/null
for tag in $tags; do
  umount /mnt/$tag || exit 1
done
exit $code
