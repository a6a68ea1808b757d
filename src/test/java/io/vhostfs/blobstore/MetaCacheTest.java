package io.vhostfs.blobstore;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.bdev.MallocDevice;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** A tree much larger than the memory that it is given. */
class MetaCacheTest {
    private static final int TIMES = 12;

    @Test
    void aTreeTwelveTimesAsLargeAsItsCacheWorks() {
        StoreOptions options = StoreOptions.DEFAULT.withMetaCacheBytes(StoreOptions.MIN_META_CACHE_BYTES);
        try (MallocDevice device = new MallocDevice(512 << 20)) {
            StoreModel model = new StoreModel(new Random().nextLong(), device, options);
            model.keySpace = 80_000;
            model.maxValueBytes = 2000;
            long frames = options.metaCacheBytes() / Node.SIZE;
            while (model.store.treeNodes() < TIMES * frames) {
                assertEquals(BlobStore.OK, model.change());
                assertCacheWithinBound(model, frames);
            }
            long reads = model.store.nodesRead();
            for (int i = 0; i < 1000; i++) {
                model.checkFind();
                model.checkCeiling();
                model.checkFloor();
                assertEquals(BlobStore.OK, model.change());
                assertCacheWithinBound(model, frames);
            }
            assertTrue(model.store.nodesRead() - reads > 1000, "the tree was in the cache");
            model.checkAll();
            model.store.closeBlocking();
            assertEquals(0, BlobStore.check(device, System.out::println, null));
            model.reopen();
            model.checkAll();
            model.store.abandon();
        }
    }

    private static void assertCacheWithinBound(StoreModel model, long frames) {
        NodeCache cache = model.store.cache();
        assertEquals(frames, cache.frames());
        assertTrue(cache.freeFrames() >= 0 && cache.dirtyFrames() <= frames * 3 / 4, cache.dirtyFrames() + " dirty");
    }
}
