package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.vhostfs.bdev.MallocDevice;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BlobStoreTest {
    private static final StoreOptions SMALL = StoreOptions.DEFAULT.withMetaCacheBytes(8 << 20);

    static long[] seeds() {
        return new long[] {1, 2, 3, new Random().nextLong()};
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void holdsWhatAMapHolds(long seed) {
        try (MallocDevice device = new MallocDevice(64 << 20)) {
            StoreModel model = new StoreModel(seed, device, SMALL);
            for (int i = 0; i < 20_000; i++) {
                assertEquals(BlobStore.OK, model.change());
                model.checkFind();
                model.checkCeiling();
                model.checkFloor();
                if (i % 5000 == 0) {
                    model.checkAll();
                }
            }
            model.checkAll();
            model.store.closeBlocking();
        }
    }
}
