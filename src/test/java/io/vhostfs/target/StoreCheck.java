package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.FileSystemVisitor;
import io.vhostfs.blobstore.BlobStore;
import java.util.ArrayList;
import java.util.List;

/** Checks a store that no target has open, as {@code vhostfs fsck} does. */
final class StoreCheck {
    private StoreCheck() {}

    static void assertSound(String spec) {
        try (BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse(spec), false)) {
            List<String> problems = new ArrayList<>();
            BlobStore.check(device, problems::add, new FileSystemVisitor());
            assertEquals(List.of(), problems);
        }
    }
}
