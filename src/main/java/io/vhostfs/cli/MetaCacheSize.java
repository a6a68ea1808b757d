package io.vhostfs.cli;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.blobstore.StoreOptions;
import org.jspecify.annotations.Nullable;

/** What {@code --meta-cache} says; whether it is possible is for others to say. */
final class MetaCacheSize {
    private MetaCacheSize() {}

    /** Bytes; those of the default without the option. */
    static long parse(@Nullable String size) {
        try {
            return size == null ? StoreOptions.DEFAULT.metaCacheBytes() : BlockDeviceSpec.parseSize(size);
        } catch (IllegalArgumentException e) {
            throw new CliException(ExitCodes.USAGE, "--meta-cache: " + e.getMessage());
        }
    }
}
