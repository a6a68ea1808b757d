package io.vhostfs.blobstore;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.bdev.TestDevice;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Poller;
import io.vhostfs.reactor.Reactor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * A disk with a volatile cache: what was not flushed may be lost in a crash, sector by sector. Requests complete in random
 * order when a random source is given, else at once.
 */
public final class CrashDevice extends TestDevice {
    private long capacity;
    private final @Nullable Random asynchronous;
    private final Map<Long, byte[]> durable = new HashMap<>();
    private final Map<Long, byte[]> cached = new HashMap<>();
    private final List<Channel> channels = new ArrayList<>();

    long writes;
    long flushes;

    /** Writes from this one on fail; counted down. */
    long failWritesAfter = Long.MAX_VALUE;

    /** The write that many from now on is torn by a power cut: a part of its sectors is there, and nothing is done any more. */
    long cutAtWrite = Long.MAX_VALUE;

    private @Nullable Random tearing;

    /** When it discards, what was discarded reads as garbage. */
    boolean discards;

    /** Discards from this one on fail; counted down. */
    long failDiscardsAfter = Long.MAX_VALUE;

    long discardedBytes;

    public CrashDevice(long capacity, @Nullable Random asynchronous) {
        super("crash device");
        this.capacity = capacity;
        this.asynchronous = asynchronous;
    }

    /** The power goes: of what was not flushed each sector is there or not. Channels of before are dead. */
    public void crash(Random random, int percentLost) {
        for (Channel channel : channels) {
            channel.dead = true;
            for (BlockIo io : channel.pending) {
                if (io.operation == BlockIo.WRITE && random.nextBoolean()) {
                    write(io, cached);
                }
            }
        }
        channels.clear();
        cached.forEach((sector, data) -> {
            if (random.nextInt(100) >= percentLost) {
                durable.put(sector, data);
            }
        });
        cached.clear();
    }

    /** The disk has become larger while it was open. */
    void enlarge(long newCapacity) {
        capacity = newCapacity;
    }

    /** Announces a power cut in the middle of a write; {@link #crash} is to follow. */
    public void cutAtWrite(long writesFromNow, Random random) {
        cutAtWrite = writesFromNow;
        tearing = random;
    }

    public boolean wasCut() {
        return cutAtWrite < 0;
    }

    private void tear(Random random) {
        for (Channel channel : channels) {
            channel.dead = true;
        }
        cached.forEach((sector, data) -> {
            if (random.nextBoolean()) {
                durable.put(sector, data);
            }
        });
        cached.clear();
    }

    /** The process dies, the disk goes on. */
    void kill() {
        for (Channel channel : channels) {
            channel.dead = true;
        }
        channels.clear();
    }

    byte[] sector(long number) {
        byte[] data = cached.get(number);
        if (data == null) {
            data = durable.get(number);
        }
        return data == null ? new byte[SECTOR] : data;
    }

    /** Changes one byte behind everyone's back. */
    void flipByte(long offset) {
        byte[] data = sector(offset / SECTOR).clone();
        data[(int) (offset % SECTOR)] ^= 0x55;
        durable.put(offset / SECTOR, data);
        cached.remove(offset / SECTOR);
    }

    byte[] readBlock(long block) {
        byte[] result = new byte[4096];
        for (int i = 0; i < 8; i++) {
            System.arraycopy(sector(block * 8 + i), 0, result, i * SECTOR, SECTOR);
        }
        return result;
    }

    /** A completed write that is volatile until the next flush. */
    void cacheBlock(long block, byte[] data) {
        for (int i = 0; i < 8; i++) {
            byte[] sector = new byte[SECTOR];
            System.arraycopy(data, i * SECTOR, sector, 0, SECTOR);
            cached.put(block * 8 + i, sector);
        }
    }

    void writeBlock(long block, byte[] data) {
        for (int i = 0; i < 8; i++) {
            byte[] sector = new byte[SECTOR];
            System.arraycopy(data, i * SECTOR, sector, 0, SECTOR);
            durable.put(block * 8 + i, sector);
            cached.remove(block * 8 + i);
        }
    }

    @Override
    public long capacityBytes() {
        return capacity;
    }

    @Override
    public boolean hasVolatileCache() {
        return true;
    }

    @Override
    public int atomicWriteBytes() {
        return SECTOR;
    }

    @Override
    public boolean supportsDiscard() {
        return discards;
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        Channel channel = new Channel(reactor);
        channels.add(channel);
        reactor.addPoller(channel);
        return channel;
    }

    @Override
    protected int answer(BlockIo io) {
        switch (io.operation) {
            case BlockIo.READ -> read(io);
            case BlockIo.WRITE -> {
                writes++;
                if (failWritesAfter-- <= 0) {
                    return -Errno.EIO;
                }
                write(io, cached);
                Random random = tearing;
                if (cutAtWrite-- <= 0 && random != null) {
                    tear(random);
                    return -Errno.EIO;
                }
                if ((io.flags & BlockIo.FLAG_FUA) != 0) {
                    write(io, durable);
                    for (long s = io.offsetBytes / SECTOR; s < (io.offsetBytes + io.lengthBytes) / SECTOR; s++) {
                        cached.remove(s);
                    }
                }
            }
            case BlockIo.FLUSH -> {
                flushes++;
                durable.putAll(cached);
                cached.clear();
            }
            case BlockIo.DISCARD -> {
                if (failDiscardsAfter-- <= 0) {
                    return -Errno.EOPNOTSUPP;
                }
                discardedBytes += io.lengthBytes;
                for (long s = io.offsetBytes / SECTOR; s < (io.offsetBytes + io.lengthBytes) / SECTOR; s++) {
                    byte[] garbage = new byte[SECTOR];
                    Arrays.fill(garbage, (byte) 0xdb);
                    cached.remove(s);
                    durable.put(s, garbage);
                }
            }
            default -> {
                return -Errno.EINVAL;
            }
        }
        return 0;
    }

    private void read(BlockIo io) {
        byte[] all = new byte[(int) io.lengthBytes];
        for (int at = 0; at < all.length; at += SECTOR) {
            System.arraycopy(sector((io.offsetBytes + at) / SECTOR), 0, all, at, SECTOR);
        }
        int at = 0;
        for (int i = 0; i < io.iovecCount; i++) {
            int length = (int) Iovecs.length(io.iovecsAddress, i);
            Memory.copyFromArray(all, at, Iovecs.base(io.iovecsAddress, i), length);
            at += length;
        }
    }

    private void write(BlockIo io, Map<Long, byte[]> to) {
        byte[] all = new byte[(int) io.lengthBytes];
        int at = 0;
        for (int i = 0; i < io.iovecCount; i++) {
            int length = (int) Iovecs.length(io.iovecsAddress, i);
            Memory.copyToArray(Iovecs.base(io.iovecsAddress, i), all, at, length);
            at += length;
        }
        for (at = 0; at < all.length; at += SECTOR) {
            byte[] sector = new byte[SECTOR];
            System.arraycopy(all, at, sector, 0, SECTOR);
            to.put((io.offsetBytes + at) / SECTOR, sector);
        }
    }

    private final class Channel implements BlockChannel, Poller {
        private final Reactor reactor;
        private final List<BlockIo> pending = new ArrayList<>();
        private boolean dead;

        Channel(Reactor reactor) {
            this.reactor = reactor;
        }

        @Override
        public int submit(BlockIo io) {
            if (asynchronous == null) {
                return perform(io);
            }
            pending.add(io);
            return PENDING;
        }

        private int perform(BlockIo io) {
            return dead ? -Errno.EIO : answer(io);
        }

        @Override
        public int poll() {
            Random random = asynchronous;
            if (random == null || pending.isEmpty() || random.nextInt(3) == 0) {
                return pending.size();
            }
            BlockIo io = pending.remove(random.nextInt(pending.size()));
            io.onComplete(perform(io));
            return 1;
        }

        @Override
        public boolean prepareToSleep() {
            return pending.isEmpty();
        }

        @Override
        public void wake() {}

        @Override
        public int inFlight() {
            return pending.size();
        }

        @Override
        public void close() {
            reactor.removePoller(this);
            channels.remove(this);
        }
    }
}
