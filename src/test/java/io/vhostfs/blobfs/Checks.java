package io.vhostfs.blobfs;

import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.blobstore.BlobStore;
import io.vhostfs.blobstore.StoreOptions;
import java.util.ArrayList;
import java.util.List;

/** Runs the check on a device whose file system is not mounted. */
final class Checks {
    private Checks() {}

    static List<CheckFinding> run(BlockDevice device) {
        BlobStore store = BlobStore.open(device, StoreOptions.DEFAULT.withReadOnly());
        try {
            List<CheckFinding> findings = new ArrayList<>();
            new BlobFsCheck(store, findings::add).run();
            return findings;
        } finally {
            store.abandon();
        }
    }
}
