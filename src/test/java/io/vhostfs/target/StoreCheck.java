package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.FileSystemVisitor;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreReporter;
import java.util.ArrayList;
import java.util.List;

/** Checks a store that no target has open, as {@code vhostfs fsck} does. */
final class StoreCheck {
    private static final class Problems implements StoreReporter {
        final List<String> texts = new ArrayList<>();

        @Override
        public void problem(String text) {
            texts.add(text);
        }

        @Override
        public void remark(String text) {
            // What a crash leaves behind and a mount puts right is sound.
        }

        @Override
        public void progress(long doneBlocks, long usedBlocks) {
            // Nobody watches.
        }
    }

    private StoreCheck() {}

    static void assertSound(String spec) {
        try (BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse(spec), false)) {
            Problems problems = new Problems();
            BlobStore.check(device, problems, new FileSystemVisitor());
            assertEquals(List.of(), problems.texts);
        }
    }
}
