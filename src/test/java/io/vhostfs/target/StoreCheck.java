package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.bdev.BlockDevices;
import io.vhostfs.blobfs.BlobFsCheck;
import io.vhostfs.blobfs.CheckFinding;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import java.util.ArrayList;
import java.util.List;

/** Checks a store that no target has open. */
final class StoreCheck {
    private StoreCheck() {}

    static void assertSound(String spec) {
        BlockDevice device = BlockDevices.open(BlockDeviceSpec.parse(spec), false);
        try {
            BlobStore store = BlobStore.open(device, StoreOptions.DEFAULT.withReadOnly());
            List<CheckFinding> findings = new ArrayList<>();
            new BlobFsCheck(store, findings::add).run();
            store.abandon();
            assertEquals(List.of(), findings);
        } finally {
            device.close();
        }
    }
}
