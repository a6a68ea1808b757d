package io.vhostfs.blobfs;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The inodes in memory, by number.
 *
 * <p>Invariant: at most one object per number. Home writes; other reactors may look, and take a miss, which may be wrong
 * while home moves entries, as a reason to ask home. Idle inodes beyond {@link Limits#MAX_CACHED_INODES} objects are
 * reused, least recently used first (a clock hand over the pool).
 */
final class InodeTable {
    private static final VarHandle SLOT = MethodHandles.arrayElementVarHandle(Inode[].class);
    /** Objects the clock hand looks at for one reuse, before the pool grows. */
    private static final int MAX_CLOCK_STEPS = 256;

    private final Volume volume;

    private volatile @Nullable Inode[] slots = new Inode[1024];
    private int count;
    private Inode[] pool = new Inode[1024];
    private int pooled;
    private int hand;
    private Inode[] free = new Inode[1024];
    private int freeCount;

    InodeTable(Volume volume) {
        this.volume = volume;
    }

    private static int home(long number, int mask) {
        return (int) ((number * 0x9E3779B97F4A7C15L) >>> 32) & mask;
    }

    int count() {
        return count;
    }

    /** Any reactor. */
    @Nullable
    Inode get(long number) {
        @Nullable Inode[] s = slots;
        int mask = s.length - 1;
        int i = home(number, mask);
        // Bounded: another reactor may see entries move under it.
        for (int n = 0; n <= mask; n++) {
            Inode inode = (Inode) SLOT.getAcquire(s, i);
            if (inode == null) {
                return null;
            }
            if (inode.number == number) {
                return inode;
            }
            i = i + 1 & mask;
        }
        return null;
    }

    /** An object for an inode about to be put; give it back with {@link #release} when that fails. */
    Inode obtain() {
        if (freeCount > 0) {
            return free[--freeCount];
        }
        if (pooled >= Limits.MAX_CACHED_INODES) {
            for (int n = 0; n < MAX_CLOCK_STEPS; n++) {
                Inode candidate = pool[hand];
                hand = hand + 1 == pooled ? 0 : hand + 1;
                if (candidate.touched) {
                    candidate.touched = false;
                } else if (candidate.number != 0 && candidate.isEvictable() && takeFromOthers(candidate)) {
                    return candidate;
                }
            }
        }
        Inode inode = new Inode(volume);
        if (pooled == pool.length) {
            pool = Arrays.copyOf(pool, 2 * pooled);
        }
        pool[pooled++] = inode;
        return inode;
    }

    /** Takes an idle inode out of the table, unless another reactor began to write to it meanwhile. */
    private boolean takeFromOthers(Inode inode) {
        long number = inode.number;
        inode.beginChange();
        inode.number = 0;
        VarHandle.fullFence();
        boolean isTaken = !inode.hasRemoteWriters();
        inode.number = number;
        if (isTaken) {
            unlinkSlot(inode);
            forgetMap(inode);
            inode.number = 0;
        }
        inode.endChange();
        return isTaken;
    }

    private void forgetMap(Inode inode) {
        volume.countExtents(inode, -1);
        inode.map = null;
    }

    void release(Inode inode) {
        if (freeCount == free.length) {
            free = Arrays.copyOf(free, 2 * freeCount);
        }
        free[freeCount++] = inode;
    }

    /** Its number must be set and not be in the table. */
    void put(Inode inode) {
        @Nullable Inode[] s = slots;
        if (2 * (count + 1) > s.length) {
            s = grow();
        }
        int mask = s.length - 1;
        int i = home(inode.number, mask);
        while (s[i] != null) {
            i = i + 1 & mask;
        }
        SLOT.setRelease(s, i, inode);
        count++;
    }

    private @Nullable Inode[] grow() {
        @Nullable Inode[] old = slots;
        @Nullable Inode[] s = new Inode[2 * old.length];
        int mask = s.length - 1;
        for (Inode inode : old) {
            if (inode != null) {
                int i = home(inode.number, mask);
                while (s[i] != null) {
                    i = i + 1 & mask;
                }
                s[i] = inode;
            }
        }
        slots = s;
        return s;
    }

    /** Takes it out and back into the pool: the inode is gone. */
    void remove(Inode inode) {
        unlinkSlot(inode);
        inode.beginChange();
        forgetMap(inode);
        inode.number = 0;
        inode.endChange();
        release(inode);
    }

    private void unlinkSlot(Inode inode) {
        @Nullable Inode[] s = slots;
        int mask = s.length - 1;
        int i = home(inode.number, mask);
        while (s[i] != inode) {
            i = i + 1 & mask;
        }
        // Entries behind move back, so that no search stops early.
        int gap = i;
        for (int j = i + 1 & mask; ; j = j + 1 & mask) {
            Inode other = s[j];
            if (other == null) {
                break;
            }
            int wanted = home(other.number, mask);
            if ((j - wanted & mask) >= (j - gap & mask)) {
                SLOT.setRelease(s, gap, other);
                gap = j;
            }
        }
        SLOT.setRelease(s, gap, null);
        count--;
    }

    /** For walks over all: an object per index, perhaps idle ({@code number} 0). */
    int poolSize() {
        return pooled;
    }

    Inode pooled(int index) {
        return pool[index];
    }
}
