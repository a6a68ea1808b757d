#!/bin/sh
# lab.sh STEPS - runs in the lab's guest: takes the drives from the kernel and drives them through VFIO.
# Its own machine's monitor is on the port "monitor". Each step says "ok STEP" or "FAILED STEP"; the exit code is the number
# of steps that failed.
#
# The processors of this guest are emulated, by threads of their own, and such a processor may go on for a while with code that
# another has changed or thrown away. Programs that make code while they run suffer: a reactor alone, without any drive, was seen
# to end the first message of a new class with IncompatibleClassChangeError in one of four runs.
failed=0 first_done=0 steps=${1:-.}
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
contains() { grep -q -e "$1" /tmp/output || { echo "no '$1' in:"; cat /tmp/output; return 1; }; }
address_of() { # SERIAL [ID]: PCI address of the controller, the one with this identifier, which the kernel's driver has now
  local c
  for c in /sys/class/nvme/nvme*; do
    if [ "$(sed 's/ *$//' $c/serial)" = "$1" ] && [ "${2:-$(cat $c/cntlid)}" = "$(cat $c/cntlid)" ]; then
      cat $c/address; return
    fi
  done
  echo "no drive $1" >&2
}

main=$(address_of LAB-MAIN) small=$(address_of LAB-SMALL) broken=$(address_of LAB-BROKEN)
slow=$(address_of LAB-SLOW) plugged=$(address_of LAB-PLUGGED) changing=$(address_of LAB-SHARED 0)
ours="$main $small $broken $slow $plugged $changing"

taken_from_the_kernel() {
  vhostfs setup --hugepages 64 --bind $(echo $ours | tr ' ' ,) && vhostfs nvme list
  for a in $ours; do
    [ "$(basename $(readlink /sys/bus/pci/devices/$a/driver))" = vfio-pci ] || return 1
  done
  # the kernel's driver has one controller left, the one that changes what another has
  [ "$(cat /sys/class/nvme/*/cntlid)" = 1 ]
}
identified() {
  vhostfs nvme identify $main > /tmp/output && cat /tmp/output &&
    contains "LAB-MAIN" && contains "namespace 1 .*512M in blocks of 512" &&
    contains "namespace 2 .*64M in blocks of 4096" &&
    vhostfs nvme smart $main
}
random_io() { # BDEV REQUESTS
  lab LabIo $1 $2 > /tmp/output 2>&1; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "errors 0 of" && contains "aligned I/O: zero-copy bytes [1-9].*, bounced bytes 0$" &&
    contains "pieces aligned to 4 bytes: not copied" && contains "resets 0"
}

broken_sector() { # errors end their requests, and no others
  lab LabIo nvme:$broken 200 tolerant > /tmp/output 2>&1; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "errors [1-9]" && contains "media status" && contains "retries 0, replays 0" &&
    contains "resets 0"
}
changed_namespaces() { # by another controller of the subsystem: one more is fine, the loss of the one in use is not
  other=/dev/$(basename /sys/class/nvme/*)
  lab LabIo nvme:$changing 2000000 tolerant 16 > /tmp/output 2>&1 & program=$!
  for i in $(seq 3000); do grep -q "in blocks of" /tmp/output && break; usleep 200000; done
  nvme attach-ns $other -n 2 -c 0
  for i in $(seq 1000); do grep -q "namespaces are now" /tmp/output && break; usleep 200000; done
  kill -0 $program || { cat /tmp/output; return 1; }
  nvme detach-ns $other -n 1 -c 0
  wait $program; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "its namespaces are now .*nsid=2" && contains "events 2" && contains "errors [1-9]" &&
    contains "namespace 1 was deleted"
}
slow_drive() { # commands time out, cannot be aborted, the controller is reset; no request hangs, no data is wrong
  lab LabIo nvme:$slow,timeout=1 100 tolerant > /tmp/output 2>&1; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "timeouts [1-9]" && contains "aborts [1-9]" && contains "resets [1-9]"
}
unplugged() { # while requests run
  lab LabIo nvme:$plugged 2000000 tolerant 16 > /tmp/output 2>&1 & program=$!
  for i in $(seq 3000); do grep -q "in blocks of" /tmp/output && break; usleep 200000; done
  sleep 3
  echo "device_del plugged" > /dev/port.d/monitor
  wait $program; code=$?
  cat /tmp/output
  for i in $(seq 1000); do [ -e /sys/bus/pci/devices/$plugged ] || break; usleep 200000; done
  [ $code = 0 ] && contains "errors [1-9]" && contains "is being unplugged\|is gone" &&
    [ ! -e /sys/bus/pci/devices/$plugged ]
}
serve() { # BDEV-OPTIONS ARGUMENT...: starts the target on the main drive's first namespace, and waits for its socket
  rm -f /tmp/share; bdev_options=$1; shift
  java $java_options -cp "$class_path" io.vhostfs.cli.Main serve --bdev store=nvme:$main$bdev_options \
    --share tag=data,bdev=store,socket=/tmp/share "$@" > /tmp/target.log 2>&1 &
  target=$!
  for i in $(seq 3000); do
    [ ! -S /tmp/share ] || return 0
    kill -0 $target 2>/dev/null || break
    usleep 200000
  done
  cat /tmp/target.log; return 1
}
served() {
  vhostfs mkfs --force nvme:$main && serve "" && lab LabFiles write /tmp/share 0 8
}
killed_and_served_again() {
  kill -9 $target; wait $target
  serve ,interrupts=on --poll interrupt && lab LabFiles verify /tmp/share 0 8 && lab LabFiles write /tmp/share 8 10
}
stopped_and_clean() {
  kill $target; wait $target
  cat /tmp/target.log; cp /tmp/target.log /tmp/output
  # eight files of 1 MiB were read and two written: not a byte of them was copied
  contains "zero-copy bytes [1-9][0-9]\{7,\}," && vhostfs fsck nvme:$main
}

step "drives taken from the kernel" taken_from_the_kernel
step "identify and smart" identified
step "random I/O, blocks of 512" random_io nvme:$main 400
step "random I/O, blocks of 4096" random_io nvme:$main,nsid=2 400
step "random I/O, transfers of 8 KiB, one queue pair" random_io nvme:$small 200
step "a broken sector" broken_sector
step "a drive that takes too long" slow_drive
step "namespaces that come and go" changed_namespaces
step "a drive unplugged under load" unplugged
step "a file system on the drive, served to a front end" served
step "the target killed, started again with interrupts, all synced files there" killed_and_served_again
step "the target stopped, the store clean" stopped_and_clean
exit $failed
