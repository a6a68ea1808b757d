#!/bin/sh
# lab.sh STEPS - runs in the lab's guest: takes the drives from the kernel and drives them through VFIO.
# Its own machine's monitor is on the port "monitor". Each step says "ok STEP" or "FAILED STEP"; the exit code is the number
# of steps that failed.
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
    tail -n 40 /tmp/log | sed 's/^/    /'; echo "FAILED $name"; failed=$((failed + 1))
  fi
}
contains() { grep -q -e "$1" /tmp/output || { echo "no '$1' in:"; cat /tmp/output; return 1; }; }
address_of() { # SERIAL: PCI address of the controller, which the kernel's driver has now
  local c
  for c in /sys/class/nvme/nvme*; do
    if [ "$(sed 's/ *$//' $c/serial)" = "$1" ]; then cat $c/address; return; fi
  done
  echo "no drive $1" >&2
}

main=$(address_of LAB-MAIN) small=$(address_of LAB-SMALL) broken=$(address_of LAB-BROKEN)
slow=$(address_of LAB-SLOW) plugged=$(address_of LAB-PLUGGED)

taken_from_the_kernel() {
  vhostfs setup --hugepages 64 --bind $main,$small,$broken,$slow,$plugged
  vhostfs nvme list
  for a in $main $small $broken $slow $plugged; do
    [ "$(basename $(readlink /sys/bus/pci/devices/$a/driver))" = vfio-pci ] || return 1
  done
  [ -z "$(ls /sys/class/nvme 2>/dev/null)" ]
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
  [ $code = 0 ] && contains "errors 0 of" && contains "bounced bytes 0;" && contains "resets 0"
}

broken_sector() { # errors end their requests, and no others
  lab LabIo nvme:$broken 200 tolerant > /tmp/output 2>&1; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "errors [1-9]" && contains "media status" && contains "retries 0, replays 0" &&
    contains "resets 0"
}
slow_drive() { # commands time out, cannot be aborted, the controller is reset; no request hangs, no data is wrong
  lab LabIo nvme:$slow,timeout=1 100 tolerant > /tmp/output 2>&1; code=$?
  cat /tmp/output
  [ $code = 0 ] && contains "timeouts [1-9]" && contains "resets [1-9]"
}
unplugged() { # while requests run
  lab LabIo nvme:$plugged 2000000 tolerant 16 > /tmp/output 2>&1 & program=$!
  for i in $(seq 600); do grep -q "in blocks of" /tmp/output && break; usleep 200000; done
  sleep 3
  echo "device_del plugged" > /dev/port.d/monitor
  wait $program; code=$?
  cat /tmp/output
  for i in $(seq 100); do [ -e /sys/bus/pci/devices/$plugged ] || break; usleep 200000; done
  [ $code = 0 ] && contains "errors [1-9]" && contains "is being unplugged\|is gone" &&
    [ ! -e /sys/bus/pci/devices/$plugged ]
}
serve() { # BDEV-OPTIONS ARGUMENT...: starts the target on the main drive's first namespace, and waits for its socket
  rm -f /tmp/share; bdev_options=$1; shift
  java $java_options -cp "$class_path" io.vhostfs.cli.Main serve --bdev store=nvme:$main$bdev_options \
    --share tag=data,bdev=store,socket=/tmp/share "$@" > /tmp/target.log 2>&1 &
  target=$!
  for i in $(seq 600); do
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
step "a drive unplugged under load" unplugged
step "a file system on the drive, served to a front end" served
step "the target killed, started again with interrupts, all synced files there" killed_and_served_again
step "the target stopped, the store clean" stopped_and_clean
exit $failed
