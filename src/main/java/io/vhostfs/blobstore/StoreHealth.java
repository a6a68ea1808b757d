package io.vhostfs.blobstore;

import io.vhostfs.os.Errno;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether a store may still be changed, why not, and what damage was met.
 *
 * <p>Invariant: the first failure ends all changes and is told once; a later one adds nothing but that what had ended before
 * the first can no longer become durable. Home reactor; whether there was a failure, any reactor.
 */
final class StoreHealth {
    private static final Logger LOG = LoggerFactory.getLogger(BlobStore.class);

    private static final int MAX_UNEXPECTED_REPORTS = 64;

    /** A damaged node is read again and again; the log need not say so for ever. */
    private static final int MAX_DAMAGE_REPORTS = 1000;

    private final String device;
    private final Runnable onFailure;
    private Consumer<String> onDamage = text -> {};

    /** Other reactors look at it before they overwrite data. */
    private volatile int failure;

    private String failureText = "";
    private boolean draining;
    private int unexpectedErrors;
    private @Nullable RuntimeException unexpected;
    private long damagedReads;
    private String damageText = "";

    /**
     * Of a store without any failure.
     *
     * @param device its name
     * @param onFailure is run once, when changes end
     */
    StoreHealth(String device, Runnable onFailure) {
        this.device = device;
        this.onFailure = onFailure;
    }

    // --- what it is

    /** 0, or the negative errno that all changes get; any reactor. */
    int failure() {
        return failure;
    }

    boolean hasFailed() {
        return failure != 0;
    }

    /** Empty when nothing failed. */
    String failureText() {
        return failureText;
    }

    /** Changes have ended, and what ended before becomes durable yet. */
    boolean isDraining() {
        return draining;
    }

    /** What waits for durability gets this when its time has come: OK, or the failure that keeps it from coming. */
    int commitStatus() {
        return draining ? BlobStore.OK : failure;
    }

    /** Whether nothing will become durable any more. */
    boolean isLost() {
        return failure != 0 && !draining;
    }

    @Nullable
    RuntimeException unexpected() {
        return unexpected;
    }

    long damagedReads() {
        return damagedReads;
    }

    String damageText() {
        return damageText;
    }

    // --- what happens to it

    /** A device error that leaves no way to keep promises: no more changes, and nothing becomes durable. */
    void fail(String what, int status) {
        draining = false;
        if (failure != 0) {
            return;
        }
        String text = what + " failed with " + Errno.name(status);
        LOG.error(
                "{}: {}; the store is read-only from here on, reads go on. Remedy: mend or replace the device, then start"
                        + " again: all that was synced is there",
                device,
                text);
        end(text);
    }

    /**
     * What is on the device, with right checksums, cannot be true: no more changes. The device is well, so all groups that
     * have ended become durable yet.
     */
    void failDamaged(String what) {
        if (failure != 0) {
            return;
        }
        LOG.error(
                "{}: {}: the store is damaged. It is read-only from here on, reads go on. Remedy: stop the target, then run"
                        + " vhostfs fsck --repair; all that was acknowledged before is there",
                device,
                what);
        draining = true;
        end(what);
    }

    private void end(String why) {
        failure = -Errno.EIO;
        failureText = why;
        onFailure.run();
    }

    void endDraining() {
        draining = false;
    }

    void noteUnexpected(RuntimeException thrown) {
        unexpected = unexpected == null ? thrown : unexpected;
        if (unexpectedErrors++ < MAX_UNEXPECTED_REPORTS) {
            LOG.error("{}: an error in the program, or damage that it does not know", device, thrown);
        }
    }

    /** So many that something throws in each turn. */
    boolean throwsForEver() {
        return unexpectedErrors > MAX_UNEXPECTED_REPORTS;
    }

    /** Each node that is found damaged is told to {@code listener}, up to a number. */
    void onDamage(Consumer<String> listener) {
        onDamage = listener;
    }

    void reportDamage(long block, String problem) {
        damagedReads++;
        damageText = "the tree node at block " + block + " " + problem;
        if (damagedReads <= MAX_DAMAGE_REPORTS) {
            onDamage.accept(damageText);
        }
    }
}
