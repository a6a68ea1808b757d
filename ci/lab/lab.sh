#!/bin/sh
# lab.sh LAB SECONDS STEPS - runs in the lab's guest: takes the drives from the kernel and drives them through VFIO.
# Its own machine's monitor is on the port "monitor". Each step says "ok STEP" or "FAILED STEP"; the exit code is the number
# of steps that failed.
#
# Within a step, each line of "proved: TEXT" tells of one thing that was looked at and found right; a step without one of its
# proofs has failed. What the program said that proves it stands in brackets.
#
# The processors of this guest are emulated, by threads of their own, and it seems that such a processor may go on for a while
# with code that another has changed or thrown away: a reactor alone, without any drive, was seen to end the first message of a
# new class with IncompatibleClassChangeError in one of four runs, which no run on real processors has done. That is the likely
# cause, not a proven one.
failed=0 first_done=0 kind=$1 time_left=$2 steps=${3:-.}
mkdir -p /app && mount -t ext4 -o ro /dev/disk/app /app || exit 99
class_path=$(echo /app/* | tr ' ' ':')
java_options="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m --enable-native-access=ALL-UNNAMED"
vhostfs() { java $java_options -cp "$class_path" io.vhostfs.cli.Main "$@"; }
lab() { program=$1; shift; java $java_options -ea -cp "$class_path" io.vhostfs.lab.$program "$@"; }

step() { # NAME COMMAND...: runs the command
  local name=$1 start end; shift
  [ $first_done = 0 ] || echo "$name" | grep -q -e "$steps" || return 0
  first_done=1
  read -r start end < /proc/uptime
  if "$@" > /tmp/log 2>&1; then
    read -r end rest < /proc/uptime
    sed 's/^/    /' /tmp/log; echo "ok $name (at ${start} s, until ${end} s)"
  else
    tail -n 120 /tmp/log | sed 's/^/    /'; echo "FAILED $name"; failed=$((failed + 1))
  fi
}
proves() { # PATTERN TEXT: what ran last said so
  local found
  if found=$(grep -o -m 1 -e "$1" /tmp/output); then echo "proved: $2 [$found]"
  else echo "NOT PROVED: $2: no '$1' in what was said"; return 1; fi
}
proved() { # TEXT COMMAND...: the command says yes
  local text=$1; shift
  if "$@"; then echo "proved: $text"; else echo "NOT PROVED: $text: $*"; return 1; fi
}
say() { cat /tmp/output; return $code; }
address_of() { # SERIAL [ID]: PCI address of the controller, the one with this identifier, which the kernel's driver has now
  local c
  for c in /sys/class/nvme/nvme*; do
    if [ "$(sed 's/ *$//' $c/serial)" = "$1" ] && [ "${2:-$(cat $c/cntlid)}" = "$(cat $c/cntlid)" ]; then
      cat $c/address; return
    fi
  done
  echo "no drive $1" >&2
}

main=$(address_of LAB-MAIN)
ours=$main
if [ "$kind" = drives ]; then
  small=$(address_of LAB-SMALL) broken=$(address_of LAB-BROKEN) slow=$(address_of LAB-SLOW)
  plugged=$(address_of LAB-PLUGGED) changing=$(address_of LAB-SHARED 0)
  ours="$main $small $broken $slow $plugged $changing"
fi

is_ours() { # PCI-ADDRESS
  [ "$(basename $(readlink /sys/bus/pci/devices/$1/driver))" = vfio-pci ] && [ ! -e /sys/bus/pci/drivers/nvme/$1 ] &&
    [ ! -e /sys/bus/pci/devices/$1/nvme ]
}
are_ours() { # WHEN DRIVE...
  local when=$1 drive address; shift
  for drive; do
    eval address=\$$drive
    proved "drive $drive: bound to vfio-pci, not to the kernel's nvme driver, $when" is_ours $address || return 1
  done
}
taken_from_the_kernel() {
  vhostfs setup --hugepages 64 --bind $(echo $ours | tr ' ' ,) && vhostfs nvme list &&
    are_ours "before anything runs" main small broken slow plugged changing &&
    proved "the kernel has one controller left, which changes what another one has" \
      [ "$(cat /sys/class/nvme/*/cntlid)" = 1 ]
}
taken_by_hand() { # without a program of ours
  echo 64 > /proc/sys/vm/nr_hugepages
  echo vfio-pci > /sys/bus/pci/devices/$main/driver_override
  echo $main > /sys/bus/pci/devices/$main/driver/unbind
  echo $main > /sys/bus/pci/drivers_probe
  are_ours "before anything runs" main
}
identified() {
  vhostfs nvme identify $main > /tmp/output; code=$?
  say && proves "LAB-MAIN" "identify: the controller" &&
    proves "namespace 1 .*512M in blocks of 512" "identify: the namespace with blocks of 512 bytes" &&
    proves "namespace 2 .*64M in blocks of 4096" "identify: the namespace with blocks of 4096 bytes" || return 1
  vhostfs nvme smart $main > /tmp/output; code=$?
  say && proves "^temperature .*" "smart: the health log" || return 1
  vhostfs doctor > /tmp/output; code=$?
  [ $code = 1 ] && code=0 # this host is not tuned
  say && proves "^ok  *IOMMU .* [1-9][0-9]* groups" "doctor: sees the IOMMU" &&
    proves "^ok  *VFIO .*/dev/vfio/vfio" "doctor: sees VFIO" &&
    proves "^ok  *NVMe controllers .*6 of 7 bound to vfio-pci" "doctor: sees the drives" &&
    proves "^ok  *$main group .*" "doctor: sees the drive's group"
}
random_io() { # NAME BDEV REQUESTS
  lab LabIo $2 $3 > /tmp/output 2>&1; code=$?
  say && proves "errors 0 of .*" "$1: no errors" || return 1
  for depth in 1 4 16 64; do
    proves "qd$depth: .* verified" "$1: random I/O at queue depth $depth" || return 1
  done
  proves "all aligned I/O is zero copy: .* bounced bytes 0$" "$1: all aligned I/O is zero copy" &&
    proves "pieces aligned to 4 bytes: not copied" "$1: pieces of whole double words are not copied" &&
    proves "pieces aligned to 1 bytes: copied" "$1: other pieces are copied, and right" &&
    proves "flush: .*" "$1: flush" &&
    proves "write zeroes: .* read as zeros.*" "$1: write zeroes" &&
    proves "discard: .* read as zeros.*" "$1: discard" && # QEMU unmaps them in the image
    proves "resets 0" "$1: no reset"
}
broken_sector() { # errors end their requests, and no others
  lab LabIo nvme:$broken 200 tolerant > /tmp/output 2>&1; code=$?
  say && proves "errors [1-9].*" "blkdebug: requests for the broken sector fail" &&
    proves "media status .*" "blkdebug: the drive's status is told" &&
    proves "retries 0, replays 0, .*resets 0" "blkdebug: nothing is sent again, nothing reset"
}
changed_namespaces() { # by another controller of the subsystem: one more is fine, the loss of the one in use is not
  other=/dev/$(basename /sys/class/nvme/*)
  lab LabIo nvme:$changing 2000000 tolerant 16 > /tmp/output 2>&1 & program=$!
  for i in $(seq 3000); do grep -q "in blocks of" /tmp/output && break; usleep 200000; done
  nvme attach-ns $other -n 2 -c 0
  for i in $(seq 1000); do grep -q "namespaces are now" /tmp/output && break; usleep 200000; done
  proved "namespace change: one more does not disturb" kill -0 $program || { cat /tmp/output; return 1; }
  nvme detach-ns $other -n 1 -c 0
  wait $program; code=$?
  say && proves "its namespaces are now .*nsid=2" "namespace change: one more is seen" &&
    proves "events 2" "namespace change: both asynchronous events came" &&
    proves "namespace 1 was deleted.*" "namespace change: the loss of the one in use is seen" &&
    proves "errors [1-9].*" "namespace change: its requests fail"
}
slow_drive() { # commands time out, cannot be aborted, the controller is reset; no request hangs, no data is wrong
  lab LabIo nvme:$slow,timeout=1 100 tolerant > /tmp/output 2>&1; code=$?
  say && proves "timeouts [1-9][0-9]*" "paused drive: commands time out" &&
    proves "aborts [1-9][0-9]*" "paused drive: they are aborted" &&
    proves "resets [1-9][0-9]*" "paused drive: the controller is reset" &&
    proves "qd64: .*" "paused drive: all requests end"
}
unplugged() { # while requests run
  lab LabIo nvme:$plugged 2000000 tolerant 16 > /tmp/output 2>&1 & program=$!
  for i in $(seq 3000); do grep -q "in blocks of" /tmp/output && break; usleep 200000; done
  sleep 3
  echo "device_del plugged" > /dev/port.d/monitor
  wait $program; code=$?
  for i in $(seq 1000); do [ -e /sys/bus/pci/devices/$plugged ] || break; usleep 200000; done
  say && proves "errors [1-9].*" "unplugged: requests under way fail" &&
    proves "is being unplugged\|is gone" "unplugged: the driver says so" &&
    proved "unplugged: the drive is let go" [ ! -e /sys/bus/pci/devices/$plugged ]
}
serve() { # ARGUMENT...: starts the target on the main drive's first namespace, and waits for its socket
  rm -f /tmp/share
  java $java_options -cp "$class_path" io.vhostfs.cli.Main serve --bdev store=nvme:$main \
    --share tag=data,bdev=store,socket=/tmp/share "$@" > /tmp/target.log 2>&1 &
  target=$!
  for i in $(seq 3000); do
    [ ! -S /tmp/share ] || return 0
    kill -0 $target 2>/dev/null || break
    usleep 200000
  done
  cat /tmp/target.log; return 1
}
serve_gently() { # a target that sleeps when there is nothing to do, also while commands are under way
  serve --poll interrupt
}
interrupted() { # the drive's vectors have raised interrupts
  awk -v drive=$main '/vfio-msix/ && index($0, drive) { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i }
    END { print "interrupts " n + 0 }' /proc/interrupts > /tmp/output
  proves "interrupts [1-9][0-9]*" "served: the drive's interrupts wake a target that sleeps while commands are under way"
}
files() { # ARGUMENT...
  lab LabFiles "$@" > /tmp/output 2>&1; code=$?
  say
}
served() {
  vhostfs mkfs --force nvme:$main && serve && files write /tmp/share 0 8 &&
    proves "synced 7" "served: eight files are written and synced"
}
killed_and_served_again() {
  kill -9 $target; wait $target
  proved "kill -9: the target is gone" [ $? = 137 ] && serve_gently && files verify /tmp/share 0 8 &&
    proves "verified 7" "kill -9: all synced files are there" && files write /tmp/share 8 10 &&
    proves "synced 9" "kill -9: two more are written" && interrupted
}
stop_target() { # the target's last words are of what it moved
  kill $target; wait $target
  cp /tmp/target.log /tmp/output; code=0
  say && proves "zero-copy bytes [1-9][0-9]\{$1,\}, bounced bytes 0," "served: no byte between guest and drive was copied"
}
stopped_and_clean() {
  # eight files of 1 MiB were read and two written
  stop_target 7 || return 1
  vhostfs fsck nvme:$main > /tmp/output 2>&1; code=$?
  say && proves "clean, .*" "fsck in the guest: the store is clean" &&
    are_ours "after all" main small broken slow changing
}
handed_back() { # to the kernel; then it is not taken again while somebody uses it, nor unless forced as it holds something
  # Not the drive with the store, which the outer host looks at afterwards.
  vhostfs setup --unbind $small > /tmp/output 2>&1; code=$?
  say && proved "setup: a drive that is given back is the kernel's" [ -e /sys/bus/pci/drivers/nvme/$small ] || return 1
  for i in $(seq 1000); do
    disk=/dev/$(basename $(ls -d /sys/bus/pci/devices/$small/nvme/nvme*/nvme*n1 2>/dev/null)) && [ -b $disk ] && break
    usleep 200000
  done
  mke2fs $disk > /dev/null || return 1
  vhostfs setup --bind $small > /tmp/output 2>&1 && return 1
  proves "/dev/[^ ]* is not blank at its start" "setup: a drive that holds something is refused" || { cat /tmp/output; return 1; }
  unshare -m sh -c "mount -t ext4 $disk /mnt && touch /tmp/mounted && exec sleep 3600" & holder=$!
  for i in $(seq 1000); do [ ! -e /tmp/mounted ] || break; usleep 200000; done
  vhostfs setup --bind $small --force > /tmp/output 2>&1 && return 1
  proves "$disk is in use" "setup: a drive that is mounted out of sight is refused even when forced" ||
    { cat /tmp/output; return 1; }
  kill $holder; wait $holder
  vhostfs setup --bind $small --force > /tmp/output 2>&1; code=$?
  say && proved "setup: a drive that holds something is taken when forced" is_ours $small
}
guest_in_this_guest() { # it mounts the share: its pages, the target here, the drive, and nothing between
  cat > /tmp/inner.sh <<'END'
mount -t virtiofs data /mnt && cp /root/file-50 /mnt/file-50 && sync && umount /mnt || exit 1
echo 3 > /proc/sys/vm/drop_caches
mount -t virtiofs data /mnt && sha256sum /root/file-50 /mnt/file-50 && cmp /root/file-50 /mnt/file-50 || exit 1
umount /mnt && echo "inner guest: what was written and synced is what is read, $(wc -c < /root/file-50) bytes"
END
  # Its time goes by its own instructions: at the pace of a real clock it would do little else than answer its timer.
  PATH=/usr/bin:$PATH runguest -v -g /opt/guest --bare -m 192M --cpu qemu64 --accel tcg,thread=single -t $time_left \
    -q -icount -q shift=6,sleep=off --fs data=/tmp/share --file /root/file-50 --script /tmp/inner.sh > /tmp/output 2>&1
  code=$?
  say && proves "inner guest: .* bytes" "chain: a guest in the guest wrote, synced and read back"
}
stopped() {
  stop_target 6 && are_ours "after all" main
}

case $kind in
drives)
  step "drives taken from the kernel" taken_from_the_kernel
  step "identify and smart" identified
  step "random I/O, blocks of 512" random_io "blocks of 512" nvme:$main 400
  step "random I/O, blocks of 4096" random_io "blocks of 4096" nvme:$main,nsid=2 400
  step "random I/O, transfers of 8 KiB, one queue pair" random_io "transfers of 8 KiB" nvme:$small 200
  step "a broken sector" broken_sector
  step "a drive that takes too long" slow_drive
  step "namespaces that come and go" changed_namespaces
  step "a drive unplugged under load" unplugged
  step "a file system on the drive, served to a front end" served
  step "the target killed, started again with interrupts, all synced files there" killed_and_served_again
  step "the target stopped, the store clean" stopped_and_clean
  step "a drive handed back to the kernel, and taken again" handed_back ;;
chain)
  step "the drive taken from the kernel" taken_by_hand
  step "the store on the drive served" serve_gently
  step "a guest in the guest mounts the share" guest_in_this_guest
  step "the target stopped" stopped ;;
esac
exit $failed
