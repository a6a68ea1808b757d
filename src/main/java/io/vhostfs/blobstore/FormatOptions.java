package io.vhostfs.blobstore;

import java.security.SecureRandom;
import java.util.UUID;

/**
 * How a store is made.
 *
 * @param uuid names the store
 * @param label for people, at most {@link Superblock#LABEL_BYTES} bytes of UTF-8
 * @param logBytes size of the log ring; 0: a sixteenth of the device between 1 and 256 MiB
 * @param hashSeed the seed for the directories' name hash, so that nobody can choose names that collide
 * @param createdNs time of creation, nanoseconds since 1970
 */
public record FormatOptions(UUID uuid, String label, long logBytes, long hashSeed, long createdNs) {
    public static FormatOptions random(String label, long createdNs) {
        return new FormatOptions(UUID.randomUUID(), label, 0, new SecureRandom().nextLong(), createdNs);
    }

    public FormatOptions withLogBytes(long bytes) {
        return new FormatOptions(uuid, label, bytes, hashSeed, createdNs);
    }
}
