#!/bin/sh
# checks.sh - runs inside the guest: uses two virtiofs shares, tags "data" and "other", as programs do.
#
#   checks.sh full [ENTRIES [FILES]]   every check, on empty shares; leaves a tree behind. ENTRIES: of the big
#                       directory (100000, a multiple of 20); FILES: small files (20000, a multiple of 200)
#   checks.sh containers   (runguest --modules overlay) overlayfs with its layers on the share, and a root file system in it
#   checks.sh kept      the tree that `full` left is whole (a new boot, a new target on the same store)
#   checks.sh reboots   (runguest --reboots) the machine reboots in the middle of its work, comes up again
#                       and finds what it had synced
#   checks.sh killed    writes and syncs numbered files, prints "synced NUMBER" for each, until the host kills
#                       the machine
#   checks.sh survived NUMBER   finds the files of `killed` up to that one
#   checks.sh load [NUMBER]     overwrites a file of checksummed blocks with fio while it makes, syncs, renames and
#                       removes numbered files, and prints "synced NUMBER" for each, until the host kills the target;
#                       with a NUMBER it does as `loaded` first, and ends there if that fails
#   checks.sh loaded NUMBER     finds what `load` had synced up to that one, and nothing that it did not write
#
# Output, one line each: "plan NAME..." first; then for each of these names "ok NAME SECONDS" or
# "not ok NAME REASON"; last "done". Lines that begin with "# " tell more about a failure. A name without its
# line means that the guest did not get that far. The exit code is 1 when a check failed. (`killed` and `load` have
# no plan.)
# BusyBox sh. The guest is slow (emulated): few processes, no loop of processes over many files.
export LC_ALL=C TZ=UTC
data=/mnt/data other=/mnt/other ram=/tmp/ram
failures=0

centiseconds() { local up rest; read -r up rest < /proc/uptime; echo "${up%.*}${up#*.}"; }
seconds() { printf '%d.%02d' $(($1 / 100)) $(($1 % 100)); }
fail() { echo "reason: $*" >&2; exit 1; }

# check NAME [FUNCTION]: runs the function of that name, - read as _, in a shell of its own that ends at the first error
check() {
  local name=$1 function start code reason
  function=${2:-check_$(echo "$name" | tr - _)}
  start=$(centiseconds)
  (set -e; $function) > /tmp/check.log 2>&1 < /dev/null
  code=$?
  if [ $code = 0 ]; then
    echo "ok $name $(seconds $(($(centiseconds) - start)))"
  else
    reason=$(sed -n 's/^reason: //p' /tmp/check.log | tail -n 1)
    echo "not ok $name ${reason:-exit code $code: $(tail -n 1 /tmp/check.log)}"
    tail -n 40 /tmp/check.log | sed 's/^/# /'
    failures=$((failures + 1))
  fi
}

# Empties the guest's caches, so that what is read next comes from the target.
forget() { sync; echo 3 > /proc/sys/vm/drop_caches; }
same() { [ "$1" = "$2" ] || fail "$3: '$1' instead of '$2'"; }      # same ACTUAL EXPECTED WHAT
refused() {                                                        # refused ERROR-TEXT COMMAND...
  local text=$1 output; shift
  if output=$("$@" 2>&1); then fail "no error from: $*"; fi
  case $output in *"$text"*) ;; *) fail "'$output' instead of '$text' from: $*" ;; esac
}
file_size() { stat -c %s "$1"; }
sum() { sha256sum "$1" | cut -d' ' -f1; }
random_file() { dd if=/dev/urandom of="$1" bs=64k count="$2" 2>/dev/null; }   # of $2 times 64 KiB

# manifest DIR: everything about all that lies in it, in a stable order
manifest() {
  (cd "$1"
   /usr/bin/find . -type d -printf '%p d %m %U %G %n %TY-%Tm-%Td.%TT\n' -o -printf '%p %y %m %U %G %n %s %TY-%Tm-%Td.%TT %l\n' | sort
   /usr/bin/find . -type f -print0 | sort -z | xargs -0 sha256sum
   getfattr -R -h -d -m user. . | sort)
}
contents() { (cd "$1"; /usr/bin/find . -type f -print0 | sort -z | xargs -0 sha256sum); }

mount_shares() {
  mkdir -p $data $other
  mount -t virtiofs data $data
  mount -t virtiofs other $other
}
unmount_shares() { umount $data; umount $other; }

# ---- checks of `full` -------------------------------------------------------------------------------

check_mount() {
  mount_shares
  same "$(findmnt -no FSTYPE,SOURCE $data | tr -s ' ')" "virtiofs data" "mounted"
}
check_empty() { same "$(ls -A $data)$(ls -A $other)" "" "entries of a new share"; }

check_df() {
  local before after
  before=$(stat -f -c %f $data)
  same "$(stat -f -c '%l' $data)" 255 "longest name"
  [ "$before" -gt 0 ] && [ "$before" -le "$(stat -f -c %b $data)" ] || fail "free blocks: $before"
  df -h $data $other
  random_file $data/space 256   # 16 MiB
  forget
  after=$(stat -f -c %f $data)
  [ $(((before - after) * $(stat -f -c %S $data))) -ge $((15 << 20)) ] || fail "free blocks were $before, and are $after after 16 MiB"
  rm $data/space
}

check_two_shares() {
  echo data > $data/who; echo other > $other/who
  random_file $data/copied 16
  cp $data/copied $other/copied
  forget
  same "$(cat $data/who $other/who | tr '\n' ' ')" "data other " "content of the two shares"
  cmp $data/copied $other/copied
  [ "$(stat -c %d $data)" != "$(stat -c %d $other)" ] || fail "one device number for two shares"
  rm $data/copied; mv $other/copied $data/moved   # a rename between file systems is a copy
  [ ! -e $other/copied ]
  rm $data/moved $data/who $other/who
}

# All fio jobs in one start of fio; its terse lines (field 5: errno) become one check each. The files stay for the
# second start, which reads everything again after the caches were emptied.
fio_names="fio-direct-randwrite fio-buffered-randwrite fio-mixed-randrw fio-unaligned-sizes fio-sequential-1m \
fio-mmap-randwrite fio-write-seen-by-mmap fio-mmap-seen-by-direct-read fio-write-seen-by-direct-read"
fio_jobs() {
  cat <<JOBS
[global]
directory=$data/fio
size=16m
bs=4k
verify=crc32c
verify_fatal=1
verify_state_save=0
allow_file_create=1
fallocate=none
group_reporting=0
stonewall
[fio-direct-randwrite]
filename=direct
ioengine=libaio
iodepth=16
direct=1
rw=randwrite
[fio-buffered-randwrite]
filename=buffered
ioengine=psync
rw=randwrite
fsync=512
end_fsync=1
[fio-mixed-randrw]
filename=mixed
ioengine=libaio
iodepth=8
direct=1
rw=randrw
rwmixread=40
[fio-unaligned-sizes]
filename=unaligned
ioengine=psync
rw=randwrite
bsrange=512-60k
bs_unaligned=1
verify=crc32c
end_fsync=1
[fio-sequential-1m]
filename=sequential
ioengine=libaio
iodepth=4
direct=1
size=48m
bs=1m
rw=write
[fio-mmap-randwrite]
filename=mmap
ioengine=mmap
rw=randwrite
fsync=512
end_fsync=1
[fio-write-seen-by-mmap]
filename=buffered
ioengine=mmap
rw=read
[fio-mmap-seen-by-direct-read]
filename=mmap
ioengine=libaio
iodepth=4
direct=1
rw=read
[fio-write-seen-by-direct-read]
filename=buffered
ioengine=libaio
iodepth=4
direct=1
rw=read
JOBS
}
run_fio() {
  local code=0 name
  mkdir -p $data/fio
  fio_jobs > /tmp/jobs
  fio --output-format=terse --terse-version=3 /tmp/jobs > /tmp/fio.out 2> /tmp/fio.err < /dev/null || code=$?
  # field 3: job; 5: errno; 9 and 50: milliseconds of reading and writing
  awk -F';' -v names="$fio_names" -v code=$code '
    { error[$3] = $5; took[$3] = ($9 + $50) / 1000 }
    END {
      n = split(names, name, " ")
      for (i = 1; i <= n; i++) {
        if (!(name[i] in error)) { printf "not ok %s no result from fio (exit code %d)\n", name[i], code; bad++ }
        else if (error[name[i]] != 0) { printf "not ok %s fio reports errno %d\n", name[i], error[name[i]]; bad++ }
        else printf "ok %s %.2f\n", name[i], took[name[i]]
      }
      exit bad
    }' /tmp/fio.out
  failures=$((failures + $?))
  [ $code = 0 ] || head -n 40 /tmp/fio.err | sed 's/^/# /'
}

# Everything that was fully written above is read and verified once more, from the target and not from caches.
check_fio_verified_again() {
  forget
  { echo '[global]'; echo "directory=$data/fio"; printf '%s\n' ioengine=psync rw=read bs=4k size=16m verify=crc32c verify_fatal=1
    for f in direct buffered mmap; do printf '[%s]\nfilename=%s\n' $f $f; done
    printf '%s\n' '[sequential]' filename=sequential size=48m bs=1m
  } > /tmp/jobs
  fio --output=/tmp/fio.out /tmp/jobs
  rm -r $data/fio
}

check_mmap_visible_to_read() {
  cd $data
  xfs_io -f -c 'pwrite -q -S 0x11 0 64k' -c 'mmap -rw 0 64k' -c 'mwrite -S 0x22 5000 9000' -c 'msync -s' -c close mapped
  forget
  xfs_io -c 'pread -v 4999 3' mapped | head -1 | grep -q '11 22 22'
  xfs_io -c 'pread -v 13998 4' mapped | head -1 | grep -q '22 22 11 11'
  # and the other way: a mapping made before sees a later write, and its end of file is zeros
  xfs_io -c 'mmap -r 0 64k' -c 'mread -v 96 8' -c 'pwrite -q -S 0x33 96 1' -c 'mread -v 96 8' mapped > /tmp/seen
  same "$(awk '/^0/ { print $2 }' /tmp/seen | tr '\n' ' ')" "11 33 " "byte read through the mapping before and after the write"
  xfs_io -f -c 'pwrite -q -S 0x44 0 10' -c 'mmap -r 0 4k' -c 'mread -v 9 3' tail | grep -q '44 00 00'
  rm mapped tail
}

# A repository made by one fast-import, cloned through the pack protocol within the share, checked and rewritten.
check_git_clone() {
  cd $data
  git config --global user.name tester; git config --global user.email tester@example.org
  git config --global init.defaultBranch main; git config --global advice.detachedHead false
  git init -q --bare origin.git
  awk 'BEGIN {
    for (i = 1; i <= 600; i++) text = text "line " i " of a file that is longer than a block or two\n"
    for (c = 1; c <= 40; c++) {
      m = "commit " c "\n"
      printf "commit refs/heads/main\ncommitter t <t@example.org> %d +0000\ndata %d\n%s", 1700000000 + c, length(m), m
      for (f = 1; f <= 25; f++) {
        body = "file " f " of commit " c "\n" substr(text, 1, (f * 997) % 30000)
        printf "M 100644 inline dir%d/sub%d/file%d.%d\ndata %d\n%s\n", f % 5, c % 4, f, c % 10, length(body), body
      }
    }
  }' | git -C origin.git fast-import --quiet
  git clone -q --no-local origin.git clone
  forget
  git -C clone fsck --full --strict --no-progress
  same "$(git -C clone rev-parse HEAD)" "$(git -C origin.git rev-parse main)" "HEAD of the clone"
  same "$(git -C clone status --porcelain)" "" "state of the fresh clone"
  same "$(git -C clone ls-files | wc -l)" 500 "files in the clone"
  echo more >> clone/dir0/sub0/file5.0
  git -C clone commit -q -a -m more
  git -C clone push -q origin main
  same "$(git -C origin.git rev-parse main)" "$(git -C clone rev-parse HEAD)" "main after the push"
  git -C origin.git gc -q
  git -C origin.git fsck --full --no-progress
  rm -rf clone origin.git
}

# Small files of 6 to 4095 bytes in 200 directories, in RAM; what they hold follows from their number.
make_tree() {
  mkdir -p $1; cd $1
  awk 'BEGIN { for (i = 0; i < 200; i++) printf "d%03d\n", i }' | xargs mkdir
  awk -v files=$files 'BEGIN {
    for (i = 0; i < 700; i++) text = text "block " i * 7919 % 10007 ";"
    for (i = 0; i < files; i++) {
      name = sprintf("d%03d/file-%05d", i % 200, i)
      printf "%05d %s", i, substr(text, i % 3000 + 1, i * 131 % 4090) > name
      close(name)
    }
  }'
}
check_tar_in() {
  make_tree $ram/tree
  contents $ram/tree > /tmp/tree.sums
  same "$(wc -l < /tmp/tree.sums)" $files "files made"
  tar -cf - -C $ram tree | dd of=$data/tree.tar bs=64k iflag=fullblock 2>/dev/null
  rm -r $ram
  forget
  tar -xf $data/tree.tar -C $data
  rm $data/tree.tar
}
check_tar_out() {
  forget
  tar -cf - -C $data tree | (mkdir $ram; cd $ram; tar -xf -)
  contents $ram/tree > /tmp/out.sums
  rm -r $ram
  cmp /tmp/tree.sums /tmp/out.sums
}
check_remove_tree() {
  cd $data/tree
  rm -r d0[2-9]* d1*   # a tenth stays for the next boot
  same "$(find . -type f | wc -l)" $((files / 10)) "files left"
}

# Entries of all kinds in one directory; most are of the kinds that are cheapest to make. They are made, listed and
# deleted by few processes; the names go through pipes.
entry_names() { awk -v from=$1 -v to=$2 -v before=$3 'BEGIN { for (i = from; i < to; i++) printf "%sentry-%06d\n", before, i }'; }
list() { /usr/bin/find $data/big -mindepth 1 -maxdepth 1 -printf '%f\n' | sort; }
check_big_directory_create() {
  local part=$((entries / 20))
  mkdir $data/big; cd $data/big
  awk -v to=$((part * 2)) 'BEGIN { for (i = 0; i < to; i++) { name = sprintf("entry-%06d", i); printf "" > name; close(name) } }'
  entry_names $((part * 2)) $((part * 3)) | xargs mkdir
  entry_names $((part * 3)) $((part * 8)) | xargs mkfifo
  entry_names $((part * 8)) $entries /nowhere/ | xargs sh -c 'ln -s "$@" .' sh
}
check_big_directory_list() {
  forget
  list > /tmp/listed
  same "$(wc -l < /tmp/listed)" $entries "entries listed"
  entry_names 0 $entries | cmp - /tmp/listed
  forget
  same "$(ls $data/big | wc -l)" $entries "entries counted by ls"
  same "$(readlink $data/big/entry-$(printf %06d $((entries - 1))))" /nowhere/entry-$(printf %06d $((entries - 1))) "a link among them"
}
# Whoever lists the directory while the odd half of it goes away sees each of the even half exactly once.
check_big_directory_list_while_deleting() {
  local deleter times=0
  entry_names 0 $entries | grep '[02468]$' > /tmp/even
  forget
  (cd $data/big; find . -maxdepth 1 -name '*[13579]' | xargs rm -r; touch /tmp/deleted) &
  deleter=$!
  while [ ! -e /tmp/deleted ] && [ $times -lt 4 ] && kill -0 $deleter 2>/dev/null; do
    list 2>/dev/null | grep '[02468]$' | cmp /tmp/even - || echo "a listing is wrong"
    times=$((times + 1))
  done > /tmp/list.log 2>&1
  [ ! -s /tmp/list.log ] || fail "during the deletion: $(tail -n 2 /tmp/list.log | tr '\n' ' ')"
  wait $deleter || fail "the deletion failed"
  forget
  list | cmp /tmp/even -
}
check_big_directory_remove() {
  rm -r $data/big   # reads on while it deletes; what it misses makes its last step fail
  [ ! -e $data/big ]
}

check_hard_links() {
  local i
  mkdir $data/links; cd $data/links
  echo first > a; ln a b; mkdir sub; ln b sub/c
  same "$(stat -c %h a)" 3 "link count"
  same "$(stat -c %i a)" "$(stat -c %i sub/c)" "inode number of the other name"
  echo second >> sub/c
  forget
  same "$(cat a | tr '\n' ' ')" "first second " "content through the first name"
  rm a
  same "$(stat -c %h b)" 2 "link count after a name is gone"
  refused "File exists" ln b sub/c
  rm b sub/c
  i=$(stat -c %h .)
  mkdir x y; same "$(stat -c %h .)" $((i + 2)) "link count of a directory with two more in it"
  cd ..; rm -r links
}
check_symlinks() {
  local long
  mkdir $data/symlinks; cd $data/symlinks
  echo content > file
  long=$(awk 'BEGIN { for (i = 0; i < 255; i++) printf "./././././././././"; for (i = 0; i < 100; i++) printf "./"; print "file" }' | tail -c 4001)
  ln -s file near; ln -s ../symlinks/file far; ln -s nothing dangling; ln -s "$long" long; ln -s loop loop
  forget
  same "$(cat near far long | sort -u)" content "content through links"
  same "$(readlink long | wc -c)" 4001 "length of the long target"
  same "$(readlink dangling)" nothing "target of the dangling link"
  refused "No such file" cat dangling
  refused "Too many levels" cat loop
  refused "File exists" ln -s other near
  cd ..; rm -r symlinks
}
check_xattrs() {
  local i big
  mkdir $data/xattrs; cd $data/xattrs
  echo x > file; mkdir dir; ln -s file link
  big=$(awk 'BEGIN { for (i = 0; i < 300; i++) printf "0123456789" }')
  setfattr -n user.big -v $big file
  setfattr -n user.binary -v 0x00ff0a00 file
  setfattr -n user.empty file
  setfattr -n user.of-dir -v d dir
  forget
  same "$(getfattr --only-values -n user.big file)" $big "the big value"
  same "$(getfattr -e hex -n user.binary file | sed -n 's/user.binary=//p')" 0x00ff0a00 "the binary value"
  same "$(getfattr file | grep -c '^user')" 3 "attributes listed"
  setfattr -n user.big -v small file; same "$(getfattr --only-values -n user.big file)" small "the replaced value"
  setfattr -x user.binary file
  refused "No such attribute" getfattr -n user.binary file
  refused "No such attribute" setfattr -x user.binary file
  refused "Operation not permitted" setfattr -h -n user.a -v 1 link
  mv file moved; ln moved other
  forget
  same "$(getfattr --only-values -n user.big other)" small "the value after rename and link"
  cd ..; rm -r xattrs
}
check_rename() {
  local inode
  mkdir $data/rename; cd $data/rename
  echo a > a; echo b > b; inode=$(stat -c %i a)
  exec 5< b
  mv a b
  same "$(cat b)/$(stat -c %i b)" "a/$inode" "content and inode after a rename over a file"
  same "$(cat <&5)" b "content of the replaced file, still open"
  exec 5<&-
  mkdir -p d1/sub d2/full empty; echo deep > d1/sub/file; mv b d1/b
  mv d1/sub d2/moved
  mv d2 empty/   # into it
  forget
  same "$(cat empty/d2/moved/file)" deep "content after its directories were renamed"
  same "$(stat -c %i empty/d2/moved/..)" "$(stat -c %i empty/d2)" "parent of a moved directory"
  refused "Directory not empty" mv -T d1 empty
  refused "Invalid argument" mv -T empty empty/d2/inside
  echo file > file; refused "Not a directory" mv -T d1 file
  mkdir target; mv -T d1 target; same "$(ls target)" b "content of a directory renamed over an empty one"
  mv target/b target/b
  cd ..; rm -r rename
}
check_unlinked_open() {
  local before i
  cd $data
  before=$(stat -f -c %f .)
  random_file gone 128   # 8 MiB
  sum gone > /tmp/gone.sum
  exec 5<> gone
  rm gone
  forget
  [ ! -e gone ]
  same "$(sha256sum < /proc/self/fd/5 | cut -d' ' -f1)" "$(cat /tmp/gone.sum)" "content of the unlinked file"
  same "$(stat -L -c '%h %s' /proc/self/fd/5)" "0 $((8 << 20))" "link count and size of the unlinked file"
  echo more >&5
  truncate -s 4 /proc/self/fd/5
  forget
  same "$(cat /proc/self/fd/5)" more "content after a write and a truncate"
  exec 5>&-
  for i in 1 2 3 4 5 6 7 8 9 10; do   # blocks may come back a moment later
    sync; [ $((before - $(stat -f -c %f .))) -lt $(((1 << 20) / $(stat -f -c %S .))) ] && return
    usleep 300000
  done
  fail "free blocks were $before, and are $(stat -f -c %f .) after the file is gone"
}
check_truncate() {
  cd $data
  random_file t 2; cp t /tmp/t
  truncate -s 70001 t; truncate -s 70001 /tmp/t
  truncate -s 300000 t; truncate -s 300000 /tmp/t
  forget
  cmp t /tmp/t   # what was cut off comes back as zeros
  truncate -s 5000 t; xfs_io -c 'pwrite -q -S 0x55 20000 10' t
  truncate -s 5000 /tmp/t; xfs_io -c 'pwrite -q -S 0x55 20000 10' /tmp/t
  forget
  cmp t /tmp/t
  : > t; same "$(file_size t)" 0 "size after O_TRUNC"
  same "$(stat -c %b t)" 0 "blocks of an empty file"
  rm t
}
check_holes() {
  cd $data
  xfs_io -f -c 'pwrite -q -S 0x66 1m 64k' -c 'pwrite -q -S 0x77 5g 8k' sparse
  forget
  same "$(file_size sparse)" $(((5 << 30) + 8192)) "size"
  [ $(($(stat -c %b sparse) * 512)) -lt $((1 << 20)) ] || fail "$(stat -c %b sparse) blocks of 512 for 72 KiB of data"
  xfs_io -r -c 'seek -a -r 0' sparse > /tmp/seek   # open for writing, all would be data
  same "$(awk 'NR > 1 { print $1 $2 }' /tmp/seek | tr '\n' ' ')" \
    "HOLE0 DATA1048576 HOLE1114112 DATA5368709120 HOLE5368717312 " "data and holes"
  same "$(dd if=sparse bs=64k skip=15 count=3 2>/dev/null | od -An -v -tx1 -w65536 | cut -c1-6 | tr -d '\n')" " 00 00 66 66 00 00" "bytes around the data"
  rm sparse
}
check_fallocate() {
  cd $data
  xfs_io -f -c 'falloc 0 1m' space
  same "$(file_size space)" $((1 << 20)) "size after fallocate"
  [ $(($(stat -c %b space) * 512)) -ge $((1 << 20)) ] || fail "$(stat -c %b space) blocks of 512 allocated for 1 MiB"
  tr '\0' '\125' < /dev/zero | head -c 1048576 > /tmp/space; dd if=/tmp/space of=space bs=64k conv=notrunc,fsync 2>/dev/null
  xfs_io -c 'fpunch 10000 100000' -c 'fzero 500000 20000' -c 'fzero -k 1040000 20000' space
  xfs_io -c 'pwrite -q -S 0 10000 100000' -c 'pwrite -q -S 0 500000 20000' -c 'pwrite -q -S 0 1040000 8576' /tmp/space
  xfs_io -c 'falloc -k 0 2m' space; same "$(file_size space)" $((1 << 20)) "size after fallocate with KEEP_SIZE"
  forget
  cmp space /tmp/space
  refused "not supported" xfs_io -c 'fcollapse 0 4096' space
  rm space
}
check_append() {
  cd $data
  awk 'BEGIN { for (i = 0; i < 2000; i++) print "a line of the first writer " i >> "log" }' & 
  awk 'BEGIN { for (i = 0; i < 2000; i++) print "second " i >> "log" }'
  wait
  forget
  same "$(grep -c '^a line of the first writer [0-9]*$' log) $(grep -c '^second [0-9]*$' log) $(wc -l < log)" "2000 2000 4000" "lines"
  rm log
}
check_times() {
  local written f
  cd $data
  echo x > /tmp/t; touch -d '2001-02-03 04:05:06' /tmp/t
  cp -p /tmp/t t; echo y > new; written=$(stat -c %y new)
  forget
  same "$(stat -c %y t)" "$(stat -c %y /tmp/t)" "time that was set"
  same "$(stat -c %y new)" "$written" "time of a write, in nanoseconds"
  touch -d '2001-02-03 04:05:06' new .; echo z >> new; mkdir d
  for f in new .; do [ "$(stat -c %Y $f)" -gt 1500000000 ] || fail "old time after a change of $f"; done
  rm -r t new d
}
check_permissions() {
  mkdir -m 777 $data/permissions; cd $data/permissions
  echo secret > root-only; chmod 600 root-only
  su user -c 'umask 027; echo mine > mine; mkdir my-dir'
  chmod 4751 mine
  forget
  same "$(stat -c '%a %u %g' mine my-dir | tr '\n' ' ')" "4751 1000 1000 750 1000 1000 " "mode and owner"
  refused "Permission denied" su user -c 'cat root-only'
  refused "Operation not permitted" su user -c 'chmod 666 root-only'
  chmod 1777 .; refused "Operation not permitted" su user -c 'rm -f root-only'
  su user -c 'echo more >> mine'; same "$(stat -c %a mine)" 751 "mode after a write by someone who is not root"
  chown 0:0 mine; refused "Permission denied" su user -c 'echo more >> mine'
  chmod 2775 my-dir; mkdir my-dir/sub; same "$(stat -c '%a %g' my-dir/sub)" "2755 1000" "group of a directory in a set-gid one"
  cd ..; rm -r permissions
}
check_special_files() {
  mkdir $data/special; cd $data/special
  mkfifo pipe; mknod zero c 1 5; mknod disk b 7 99
  forget
  same "$(stat -c '%F %t:%T' pipe zero disk | tr '\n' ',')" "fifo 0:0,character special file 1:5,block special file 7:63," "kinds"
  echo through > pipe & same "$(cat pipe)" through "what came through the pipe"
  same "$(head -c 3 zero | od -An -tx1)" " 00 00 00" "bytes of the device"
  cd ..; rm -r special
}
check_names() {
  local longest i
  mkdir $data/names; cd $data/names
  longest=$(awk 'BEGIN { for (i = 0; i < 51; i++) printf "12345" }')
  echo 1 > $longest; echo 2 > "$(printf 'new\nline and \t tab')"; echo 3 > ./-dash; echo 4 > "grüße 日本語 🙂"; echo 5 > "$(printf '\001\377')"; echo 6 > ...
  mkdir -p $longest.d 2>/dev/null && fail "a name of 257 bytes was taken"
  refused "File name too long" touch ${longest}6
  forget
  same "$(find . -type f -print0 | tr -dc '\0' | wc -c)" 6 "names"
  same "$(cat $longest "$(printf 'new\nline and \t tab')" ./-dash "grüße 日本語 🙂" "$(printf '\001\377')" ... | tr -d '\n')" 123456 "contents"
  refused "No such file" cat "GRÜSSE"
  i=0; while [ $i -lt 120 ]; do mkdir deep-$i; cd deep-$i; i=$((i + 1)); done
  echo bottom > file
  forget
  same "$(cat file)" bottom "content 120 directories down"
  same "$(find $data/names -name file)" "$PWD/file" "path 120 directories down"
  cd $data; rm -r names
}
check_errors() {
  mkdir $data/errors; cd $data/errors
  mkdir -p full/sub; echo x > file
  refused "Directory not empty" rmdir full
  refused "File exists" mkdir full
  refused "Not a directory" cat file/x
  refused "Is a directory" dd if=/dev/zero of=full bs=1 count=1
  refused "No such file" cat missing
  refused "No such file" mkdir missing/x
  refused "Not a directory" rmdir file
  refused "File exists" sh -c 'set -C; : > file'
  cd ..; rm -r errors
}
check_copy_range() {
  cd $data
  random_file from 32   # 2 MiB
  xfs_io -f -c "copy_range -s 4096 -d 0 -l 1000000 $data/from" to
  forget
  tail -c +4097 from | head -c 1000000 | cmp - to
  rm from to
}

# A tree for the boots to come: part of the small files, and one of each other kind. What is known of it lies in the
# other share.
check_keep() {
  mkdir $data/kept; cd $data/kept
  mv ../tree tree
  random_file big 128   # 8 MiB
  xfs_io -f -c 'pwrite -q -S 0x66 1m 64k' -c 'falloc 2m 64k' sparse
  mkdir -m 1770 dir; chown 1000:1000 dir; ln big dir/linked; ln -s ../big dir/symlink
  mkfifo -m 640 pipe; mknod device c 1 3
  setfattr -n user.kept -v yes dir big
  touch -d '2001-02-03 04:05:06' dir/linked
  echo x > dir/short; touch dir/empty
  manifest . > /tmp/manifest
  [ "$(wc -l < /tmp/manifest)" -gt $((files / 10)) ]
  cp /tmp/manifest $other/manifest
  cp /tmp/manifest $data/manifest
}
check_unmount() { unmount_shares; }
check_mount_again() {
  mount_shares
  manifest $data/kept | cmp - $other/manifest
  unmount_shares
}

# ---- checks of the other boots ------------------------------------------------------------------------

check_kept_tree() {
  cmp $data/manifest $other/manifest
  manifest $data/kept > /tmp/manifest
  diff $data/manifest /tmp/manifest
}
check_kept_tree_usable() {
  cd $data/kept
  mv dir renamed; echo more >> renamed/short; rm renamed/linked; cp -r tree/d000 renamed/copy
  same "$(stat -c %h big)" 1 "link count"
  rm -r renamed/copy
  mv renamed dir; ln big dir/linked
  manifest $data/kept > $data/manifest; cp $data/manifest $other/manifest
}

check_before_reboot() {
  mkdir -p $data/reboot
  random_file $data/reboot/synced 16; sum $data/reboot/synced > $other/reboot.sum
  touch $data/reboot/done
  sync
}
reboot_while_writing() {
  (while :; do dd if=/dev/zero of=$data/reboot/unsynced bs=1M count=4; done) 2>/dev/null &
  usleep 700000
  reboot -f
}
check_after_reboot() {
  same "$(sum $data/reboot/synced)" "$(cat $other/reboot.sum)" "checksum of the synced file"
  echo again > $data/reboot/unsynced
  rm -r $data/reboot $other/reboot.sum
}

# Writes numbered files, each synced before its number is told to the host, until the host kills the machine.
write_until_killed() {
  local i=0
  rm -rf $data/killed; mkdir $data/killed
  while :; do
    echo "content of $i" | dd of=$data/killed/$i conv=fsync 2>/dev/null
    echo "synced $i"
    i=$((i + 1))
  done
}
check_synced_before_kill() {   # the files 0 to $last
  local i=0
  while [ $i -le $last ]; do
    same "$(cat $data/killed/$i)" "content of $i" "file $i"
    i=$((i + 1))
  done
  rm -r $data/killed
}

# Of the numbered files the newest $kept are there. A file gets its content before its name in "done", and its number is
# told to the host when its name and the removal of an older one are synced. Every block of the other file has a checksum
# from the first pass on, whichever of its contents it holds.
kept=8
load_job() { fio --name=load --filename=$data/load/blocks --ioengine=psync --bs=4k --size=8m --verify=crc32c "$@"; }
work_until_the_target_is_killed() {
  local i=0
  rm -rf $data/load; mkdir -p $data/load/new $data/load/done
  load_job --rw=write --do_verify=0 --end_fsync=1 > /tmp/fio.out || { cat /tmp/fio.out; return 1; }
  sync
  (while load_job --rw=randwrite --do_verify=0 --fsync=16; do :; done) > /tmp/fio.out 2>&1 &
  while :; do
    echo "content of $i" | dd of=$data/load/new/$i conv=fsync 2>/dev/null
    mv $data/load/new/$i $data/load/done/$i
    [ $i -lt $kept ] || rm $data/load/done/$((i - kept))
    sync $data/load/done
    echo "synced $i"
    i=$((i + 1))
  done
}
load_names="synced-before-the-target-was-killed blocks-are-old-or-new"
check_synced_before_the_target_was_killed() {   # up to the file $last; what came after it may be there or not
  local i=$((last - kept + 2))
  [ $i -ge 0 ] || i=0
  while [ $i -le $last ]; do
    [ -e $data/load/done/$i ] || fail "file $i is not there"
    i=$((i + 1))
  done
  for file in $(ls $data/load/done); do
    [ $file -gt $((last - kept)) ] || fail "file $file is there again"
    same "$(cat $data/load/done/$file)" "content of $file" "file $file"
  done
  for file in $(ls $data/load/new); do
    [ $file -gt $last ] || fail "file $file has its old name again"
    case "content of $file" in "$(cat $data/load/new/$file)"*) ;; *) fail "foreign content in the new file $file" ;; esac
  done
}
check_blocks_are_old_or_new() {
  same "$(file_size $data/load/blocks)" $((8 << 20)) "size of the file of blocks"
  load_job --rw=read --verify_fatal=1 > /tmp/fio.out 2>&1 || { cat /tmp/fio.out; return 1; }
}

# ---- containers --------------------------------------------------------------------------------------------

# An overlay whose layers lie on the share: copies up, whiteouts, opaque and moved directories, over a new mount.
overlay_story() {   # OPTIONS PREFIX-OF-ITS-ATTRIBUTES
  mkdir -p $data/overlay/lower/dir/sub $data/overlay/lower/gone; cd $data/overlay; mkdir upper work merged
  echo lower > lower/file; setfattr -n user.a -v 1 lower/file
  echo hidden > lower/kept; echo deep > lower/dir/sub/deep; echo old > lower/gone/old
  mount_overlay() { mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,$1 merged; }
  mount_overlay $1
  echo more >> merged/file
  rm merged/kept
  rm -r merged/gone; mkdir merged/gone
  mv merged/dir merged/moved
  echo new > merged/new; ln merged/new merged/also-new; mv merged/new merged/newer
  for again in no yes; do
    forget
    same "$(ls merged | tr '\n' ' ')" "also-new file gone moved newer " "entries"
    same "$(cat merged/file | tr '\n' ' ')" "lower more " "the file that was copied up"
    same "$(getfattr --only-values -n user.a merged/file)" 1 "its attribute"
    same "$(ls -A merged/gone)" "" "entries of the opaque directory"
    same "$(cat merged/moved/sub/deep)" deep "content below the moved directory"
    same "$(cat merged/also-new)" new "content through the other name"
    [ $again = yes ] || { umount merged; mount_overlay $1; }
  done
  umount merged
  same "$(stat -c '%F %t %T' upper/kept)" "character special file 0 0" "the whiteout"
  same "$(getfattr --only-values -n $2.overlay.opaque upper/gone)" y "the attribute of the opaque directory"
  same "$(cat lower/file)" lower "the file below"
  cd ..; rm -r overlay
}
check_overlay() { overlay_story redirect_dir=on trusted; }
check_overlay_with_user_attributes() { overlay_story userxattr user; }

# A root file system of some hundred links as the lower layer; programs run in the merged one; all of it changes its owner.
check_container() {
  local all
  mkdir -p $data/container/lower/bin $data/container/lower/tmp $data/container/lower/etc; cd $data/container
  mkdir upper work merged
  cp /bin/busybox lower/bin/busybox
  chroot lower /bin/busybox --install -s /bin
  tar -cf rootfs.tar -C lower .; rm -r lower; mkdir lower; tar -xf rootfs.tar -C lower
  mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
  chroot merged /bin/sh -c 'set -e; echo from within > /tmp/said; mkdir -p /srv/a/b; echo 1 > /srv/a/b/c; mv /srv/a /srv/d
    cp /bin/busybox /bin/copy; chmod 4755 /bin/copy; rm /bin/awk; ln -s busybox /bin/awk; rm /bin/bc; ls /bin > /tmp/names'
  same "$(cat merged/tmp/said)" "from within" "what a program wrote"
  same "$(cat merged/srv/d/b/c)" 1 "what a program moved"
  same "$(stat -c '%F %t %T' upper/bin/bc)" "character special file 0 0" "the whiteout of a program"
  all=$(/usr/bin/find merged | wc -l)
  [ "$all" -gt 200 ] || fail "only $all files"
  chown -hR 1000:1001 merged
  forget
  same "$(/usr/bin/find merged -user 1000 -group 1001 | wc -l)" $all "files with the new owner"
  same "$(stat -c %a merged/bin/copy)" 755 "the mode of a set-user-ID program that changed its owner"
  same "$(stat -c %U lower/bin/busybox)" root "the owner below"
  same "$(chroot merged /bin/ls /bin | wc -l)" "$(wc -l < merged/tmp/names)" "programs"
  umount merged
  cd ..; rm -r container
}

# ---- what runs --------------------------------------------------------------------------------------------

mode=${1:-}; shift
entries=100000 files=20000 last=""
case $mode in
  full)
    entries=${1:-$entries} files=${2:-$files}
    before="mount empty df two-shares"
    after="fio-verified-again mmap-visible-to-read hard-links symlinks xattrs rename unlinked-open truncate holes
      fallocate append times permissions special-files names errors copy-range git-clone tar-in tar-out remove-tree
      big-directory-create big-directory-list big-directory-list-while-deleting big-directory-remove
      keep unmount mount-again"
    echo plan $before $fio_names $after
    for name in $before; do check $name; done
    run_fio
    for name in $after; do check $name; done ;;
  containers)
    names="mount overlay overlay-with-user-attributes container unmount"
    echo plan $names
    for name in $names; do check $name; done ;;
  kept)
    echo plan mount kept-tree kept-tree-usable unmount
    for name in mount kept-tree kept-tree-usable unmount; do check $name; done ;;
  reboots)
    mount_shares
    if [ ! -e $data/reboot/done ]; then
      echo plan before-reboot after-reboot unmount
      check before-reboot
      reboot_while_writing
    fi
    check after-reboot
    check unmount ;;
  killed)
    mount_shares
    write_until_killed ;;
  survived)
    last=$1
    echo plan mount synced-before-kill unmount
    for name in mount synced-before-kill unmount; do check $name; done ;;
  load)
    mount_shares
    if [ $# -gt 0 ]; then
      last=$1
      for name in $load_names; do check $name; done
      [ $failures = 0 ] || exit 1
    fi
    work_until_the_target_is_killed ;;
  loaded)
    last=$1
    echo plan mount $load_names unmount
    for name in mount $load_names unmount; do check $name; done ;;
  *) echo "checks.sh: no mode '$mode'" >&2; exit 2 ;;
esac
echo done
[ $failures = 0 ]
