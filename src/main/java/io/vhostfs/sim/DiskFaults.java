package io.vhostfs.sim;

/**
 * What goes wrong on a disk besides power cuts. Rates are per million requests. One thread.
 *
 * <p>Damage (lost, misdirected, rotten) only ever hits what carries a checksum, the store's own structures: that of file
 * data nothing can detect.
 */
final class DiskFaults {
    private static final int MILLION = 1_000_000;
    private static final int HIDDEN_FACTOR = 5;
    private static final int DEFAULT_RATE = 50_000;

    /** Requests that end with EIO and do nothing. */
    int readErrors;

    int dataWriteErrors;
    int metadataWriteErrors;

    /** Writes of metadata that are acknowledged and never happen. */
    int lostWrites;

    /** Writes of metadata that go to another block of metadata. */
    int misdirectedWrites;

    /** Writes of metadata of which a bit turns over afterwards. */
    int rot;

    /** Only tree nodes are damaged, not the log, the root slots or the superblocks. */
    boolean onlyNodes;

    /** More damage than this says nothing about any one of it. */
    int maxDamage;

    private final SimRandom random;
    private boolean enabled;

    long errorsInjected;
    long damageInjected;

    DiskFaults(SimRandom random) {
        this.random = random;
    }

    /** Only while the guests work: what a fault does to mkfs and to recovery is another question. */
    void setEnabled(boolean on) {
        enabled = on;
    }

    /** Only rot, or only lost writes: one of them would hide the other. */
    void useOneKind(boolean rots) {
        rot = rots ? Math.max(rot, DEFAULT_RATE) : 0;
        lostWrites = rots ? 0 : Math.max(lostWrites, DEFAULT_RATE);
        misdirectedWrites = rots ? 0 : misdirectedWrites;
    }

    boolean hasErred() {
        return errorsInjected + damageInjected > 0;
    }

    boolean hasDamaged() {
        return damageInjected > 0;
    }

    @Override
    public String toString() {
        return "reads " + readErrors + ", data writes " + dataWriteErrors + ", metadata writes " + metadataWriteErrors
                + ", lost " + lostWrites + ", misdirected " + misdirectedWrites + ", rot " + rot
                + (onlyNodes ? ", nodes only" : "") + "; so far " + errorsInjected + " errors, " + damageInjected
                + " damages";
    }

    boolean failsRead() {
        return error(readErrors);
    }

    boolean failsWrite(boolean metadata) {
        return error(metadata ? metadataWriteErrors : dataWriteErrors);
    }

    private boolean error(int rate) {
        boolean hit = enabled && rate > 0 && random.below(MILLION) < rate;
        errorsInjected += hit ? 1 : 0;
        return hit;
    }

    /**
     * With an older node in that place far more often, and not elsewhere where only nodes are damaged: only there a lost
     * write is not told by what it leaves.
     */
    boolean losesWrite(boolean node, boolean hidden) {
        return damage(hidden ? lostWrites * HIDDEN_FACTOR : onlyNodes ? 0 : lostWrites, node);
    }

    boolean misdirectsWrite(boolean node) {
        return damage(misdirectedWrites, node);
    }

    boolean rots(boolean node) {
        return damage(rot, node);
    }

    private boolean damage(int rate, boolean node) {
        boolean possible = enabled && rate > 0 && damageInjected < maxDamage && (node || !onlyNodes);
        boolean hit = possible && random.below(MILLION) < rate;
        damageInjected += hit ? 1 : 0;
        return hit;
    }
}
