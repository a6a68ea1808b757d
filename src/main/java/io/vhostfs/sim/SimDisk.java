package io.vhostfs.sim;

import io.vhostfs.bdev.BlockChannel;
import io.vhostfs.bdev.BlockDevice;
import io.vhostfs.bdev.BlockIo;
import io.vhostfs.memory.Iovecs;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.reactor.Reactor;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A disk on simulated time whose power can go at any request.
 *
 * <p>Invariant: what is durable is exactly what a disk promises: writes with FUA once they completed, and writes that had
 * completed when a flush was submitted that has completed since. Of everything else any part may survive a power cut, in
 * units of the atomic write. A request takes effect when it completes; its memory is read then, or when it was submitted.
 * What was discarded reads, until it is written again, as it was, as zeroes or as garbage. The disk can grow; who uses it
 * learns that by asking. One thread.
 */
final class SimDisk implements BlockDevice {
    static final int BLOCK = 4096;
    static final int SECTOR = 512;

    /** First bytes of a tree node, and its length: what tells metadata from data. */
    private static final int NODE_MAGIC = 0x4e544256;

    private static final int NODE_BYTES = 16384;
    private static final int NODE_LEVEL_OFFSET = 32;
    private static final int NODE_COUNT_OFFSET = 34;
    private static final int NODE_HEAP_OFFSET = 36;
    private static final int NODE_HEADER_BYTES = 64;
    private static final int LEAF_SLOT_BYTES = 24;
    private static final int INNER_KEY_BYTES = 16;
    private static final int INNER_CHILDREN_OFFSET = 6592;
    private static final int INNER_CHILD_BYTES = 24;

    /** A drive writes back by itself what has been in its cache for long. */
    private static final int MAX_UNFLUSHED = 4000;

    /** No disk grows beyond this: more than one group of the store's map of free space. */
    static final long MAX_CAPACITY_BYTES = 96L << 20;

    /** Of what discarded blocks read as, in eighths: zeroes, garbage; the rest as before. */
    private static final int DISCARD_ZEROES = 3;

    private static final int DISCARD_GARBAGE = 6;
    private static final int EIGHTHS = 8;

    private static final long SLOW_FACTOR = 100;
    private static final long SLOW_READ_FACTOR = 1000;
    private static final long SLOWEST_ROOT_NS = 500_000_000;
    private static final long ROOTS_END = 8L * BLOCK;
    private static final long STUCK_NS = 8_000_000_000L;

    /** A completed write that is not durable. */
    private static final class Unflushed {
        final long sequence;
        final long offset;
        final byte[] data;
        /** Sectors that something durable has overwritten since. */
        final boolean[] superseded;

        Unflushed(long sequence, long offset, byte[] data) {
            this.sequence = sequence;
            this.offset = offset;
            this.data = data;
            superseded = new boolean[data.length / SECTOR];
        }
    }

    /** A request on its way. */
    private static final class Flight {
        final BlockIo io;
        final long dueNs;
        final byte @Nullable [] captured;
        final long flushSequence;

        Flight(BlockIo io, long dueNs, byte @Nullable [] captured, long flushSequence) {
            this.io = io;
            this.dueNs = dueNs;
            this.captured = captured;
            this.flushSequence = flushSequence;
        }
    }

    private final DiskProfile profile;
    private final SimClock clock;
    private final SimRandom random;
    private final TraceHash trace;
    private final DiskFaults faults;
    private final boolean discards;

    /** Fate of discarded blocks: a stream of its own. */
    private final SimRandom fates;

    /** As large as the disk is. */
    private long deviceBytes;

    /** As large as who uses it knows it to be. */
    private long knownBytes;

    /** What is durable, by block; null is zeroes. */
    private final byte[] @Nullable [] media;
    /** What reads see where it differs. */
    private final byte[] @Nullable [] cached;

    private final int[] unflushedInBlock;
    private List<Unflushed> unflushed = new ArrayList<>();
    private final List<Channel> channels = new ArrayList<>();
    private final Set<Reactor> live = new HashSet<>();
    private final List<Long> metadataOffsets = new ArrayList<>();
    private long sequence;
    private long cutCountdown;
    private int rootCountdown;
    private long eventsAfterRoot;
    private boolean powerOff;
    private long logEndBytes;

    long requests;
    long flushes;
    long discarded;

    SimDisk(SimPlan plan, SimClock clock, SimRandom random, SimRandom fates, TraceHash trace) {
        profile = plan.disk();
        faults = plan.faults();
        discards = plan.discards();
        deviceBytes = profile.capacityBytes();
        knownBytes = deviceBytes;
        this.fates = fates;
        this.clock = clock;
        this.random = random;
        this.trace = trace;
        int blocks = (int) (Math.max(deviceBytes, plan.grows() ? MAX_CAPACITY_BYTES : 0) / BLOCK);
        media = new byte[blocks][];
        cached = new byte[blocks][];
        unflushedInBlock = new int[blocks];
    }

    /** Reactors that the simulation steps itself; others belong to blocking callers, for whom time passes by waiting. */
    void setLive(Reactor... reactors) {
        live.clear();
        for (Reactor reactor : reactors) {
            live.add(reactor);
        }
    }

    /** Where the log ends, so that damage knows what is metadata. */
    void setLogEnd(long bytes) {
        logEndBytes = bytes;
    }

    /** The disk becomes larger; who uses it does not know yet. */
    void enlarge(long bytes) {
        deviceBytes = Math.min(MAX_CAPACITY_BYTES, deviceBytes + bytes);
    }

    // --- power

    /** The power goes at the {@code events}-th start or end of a request from now on; 0: it stays. */
    void armCut(long events) {
        cutCountdown = events;
        rootCountdown = 0;
    }

    /** The power goes at the {@code events}-th one after the start of the {@code writes}-th write of a root slot. */
    void armCutAfterRoot(int writes, long events) {
        cutCountdown = 0;
        rootCountdown = writes;
        eventsAfterRoot = events;
    }

    private void noteRootWrite() {
        if (rootCountdown > 0 && --rootCountdown == 0) {
            cutCountdown = eventsAfterRoot;
        }
    }

    private static boolean isRootWrite(BlockIo io) {
        return io.operation == BlockIo.WRITE && io.offsetBytes < ROOTS_END;
    }

    boolean isPowerOff() {
        return powerOff;
    }

    private boolean countsDownToCut() {
        return cutCountdown > 0 && --cutCountdown == 0;
    }

    /** The power goes now: what is not durable survives in part. */
    void cutPower() {
        powerOff = true;
        armCut(0);
        CutMode mode = CutMode.draw(random);
        for (Unflushed write : unflushed) {
            survive(write.offset, write.data, write.superseded, mode);
        }
        List<Flight> flights = inFlightWrites();
        while (!flights.isEmpty()) {
            Flight flight = flights.remove(random.below(flights.size()));
            byte[] data = flight.captured != null ? flight.captured : gather(flight.io);
            survive(flight.io.offsetBytes, data, new boolean[data.length / SECTOR], mode);
        }
        forgetCache();
        loseDiscardsInFlight();
    }

    private void loseDiscardsInFlight() {
        for (Channel channel : channels) {
            for (Flight flight : channel.flights) {
                if (flight.io.operation == BlockIo.DISCARD && fates.percent(50)) {
                    giveUp(flight.io.offsetBytes, flight.io.lengthBytes);
                }
            }
        }
    }

    private List<Flight> inFlightWrites() {
        List<Flight> writes = new ArrayList<>();
        for (Channel channel : channels) {
            for (Flight flight : channel.flights) {
                if (flight.io.operation == BlockIo.WRITE) {
                    writes.add(flight);
                }
            }
        }
        return writes;
    }

    /** What of a write that is not durable is on the medium after the cut. */
    private void survive(long offset, byte[] data, boolean[] superseded, CutMode mode) {
        int unit = profile.atomicBytes();
        boolean whole = mode.keepsWrite(random);
        for (int at = 0; at < data.length; ) {
            int end = (int) Math.min(data.length, (offset + at) / unit * unit + unit - offset);
            if (mode.isByUnit() ? mode.keepsUnit(random) : whole) {
                for (int s = at; s < end; s += SECTOR) {
                    if (!superseded[s / SECTOR]) {
                        store(media, offset + s, data, s, SECTOR);
                    }
                }
            }
            at = end;
        }
    }

    private void forgetCache() {
        for (Unflushed write : unflushed) {
            for (long b = write.offset / BLOCK; b < blockEnd(write.offset, write.data.length); b++) {
                cached[(int) b] = null;
                unflushedInBlock[(int) b] = 0;
            }
        }
        unflushed = new ArrayList<>();
    }

    /** The target dies and the disk goes on: requests on their way happen or not, the cache stays. */
    void killChannels() {
        List<Flight> flights = inFlightWrites();
        loseDiscardsInFlight();
        for (Channel channel : channels) {
            channel.flights.clear();
        }
        while (!flights.isEmpty()) {
            Flight flight = flights.remove(random.below(flights.size()));
            if (random.percent(50)) {
                performWrite(flight.io, flight.captured != null ? flight.captured : gather(flight.io));
            }
        }
        channels.clear();
        armCut(0);
    }

    /** The power comes back; whoever used the disk before is gone. */
    void powerOn() {
        powerOff = false;
        channels.clear();
    }

    // --- content

    private static long blockEnd(long offset, int length) {
        return (offset + length + BLOCK - 1) / BLOCK;
    }

    private static void store(byte[] @Nullable [] to, long offset, byte[] from, int fromIndex, int length) {
        int block = (int) (offset / BLOCK);
        byte[] content = to[block];
        if (content == null) {
            content = new byte[BLOCK];
            to[block] = content;
        }
        System.arraycopy(from, fromIndex, content, (int) (offset % BLOCK), length);
    }

    private void copyOut(long offset, byte[] to, int toIndex, int length) {
        int block = (int) (offset / BLOCK);
        byte[] content = cached[block] != null ? cached[block] : media[block];
        if (content != null) {
            System.arraycopy(content, (int) (offset % BLOCK), to, toIndex, length);
        }
    }

    private void storeDurably(long offset, byte[] data) {
        for (int at = 0; at < data.length; at += SECTOR) {
            store(media, offset + at, data, at, SECTOR);
            int block = (int) ((offset + at) / BLOCK);
            if (cached[block] != null) {
                store(cached, offset + at, data, at, SECTOR);
            }
        }
        supersede(offset, data.length);
    }

    /** What lies in the cache below a durable write never comes back. */
    private void supersede(long offset, int length) {
        boolean any = false;
        for (long b = offset / BLOCK; b < blockEnd(offset, length); b++) {
            any |= unflushedInBlock[(int) b] > 0;
        }
        if (!any) {
            return;
        }
        for (Unflushed write : unflushed) {
            long from = Math.max(offset, write.offset);
            long to = Math.min(offset + length, write.offset + write.data.length);
            for (long at = from; at < to; at += SECTOR) {
                write.superseded[(int) (at - write.offset) / SECTOR] = true;
            }
        }
    }

    private void storeVolatile(long offset, byte[] data) {
        for (long b = offset / BLOCK; b < blockEnd(offset, data.length); b++) {
            int block = (int) b;
            if (cached[block] == null) {
                byte[] below = media[block];
                cached[block] = below == null ? new byte[BLOCK] : below.clone();
            }
            unflushedInBlock[block]++;
        }
        for (int at = 0; at < data.length; at += SECTOR) {
            store(cached, offset + at, data, at, SECTOR);
        }
        unflushed.add(new Unflushed(sequence, offset, data));
        if (unflushed.size() > MAX_UNFLUSHED) {
            writeBack(unflushed.get(MAX_UNFLUSHED / 2).sequence);
        }
    }

    /** Discarded blocks: whatever was written there before counts no more, durable or not. */
    private void giveUp(long offset, long length) {
        int fate = fates.below(EIGHTHS);
        for (long b = (offset + BLOCK - 1) / BLOCK; b < (offset + length) / BLOCK; b++) {
            if (fate >= DISCARD_GARBAGE) {
                continue;
            }
            byte[] content = null;
            if (fate >= DISCARD_ZEROES) {
                content = new byte[BLOCK];
                ByteBuffer words = ByteBuffer.wrap(content);
                while (words.hasRemaining()) {
                    words.putLong(fates.nextLong());
                }
            }
            media[(int) b] = content;
            if (cached[(int) b] != null) {
                cached[(int) b] = content == null ? new byte[BLOCK] : content.clone();
            }
            supersede(b * BLOCK, BLOCK);
        }
    }

    /** Everything that completed up to then becomes durable. */
    private void writeBack(long upTo) {
        List<Unflushed> left = new ArrayList<>();
        for (Unflushed write : unflushed) {
            if (write.sequence > upTo) {
                left.add(write);
                continue;
            }
            for (int at = 0; at < write.data.length; at += SECTOR) {
                if (!write.superseded[at / SECTOR]) {
                    store(media, write.offset + at, write.data, at, SECTOR);
                }
            }
            for (long b = write.offset / BLOCK; b < blockEnd(write.offset, write.data.length); b++) {
                if (--unflushedInBlock[(int) b] == 0) {
                    cached[(int) b] = null;
                }
            }
        }
        unflushed = left;
    }

    private static byte[] gather(BlockIo io) {
        byte[] all = new byte[(int) io.lengthBytes];
        int at = 0;
        for (int i = 0; i < io.iovecCount; i++) {
            int length = (int) Iovecs.length(io.iovecsAddress, i);
            Memory.copyToArray(Iovecs.base(io.iovecsAddress, i), all, at, length);
            at += length;
        }
        return all;
    }

    // --- requests

    private int perform(Flight flight) {
        BlockIo io = flight.io;
        int status =
                switch (io.operation) {
                    case BlockIo.READ -> performRead(io);
                    case BlockIo.WRITE -> performWrite(io, flight.captured != null ? flight.captured : gather(io));
                    case BlockIo.FLUSH -> performFlush(flight.flushSequence);
                    case BlockIo.DISCARD -> performDiscard(io);
                    default -> performZeroes(io);
                };
        trace.add(io.operation * 31L + status);
        trace.add(io.offsetBytes);
        trace.add(io.lengthBytes);
        return status;
    }

    private int performRead(BlockIo io) {
        if (faults.failsRead()) {
            return -Errno.EIO;
        }
        byte[] all = new byte[(int) io.lengthBytes];
        for (int at = 0; at < all.length; at += SECTOR) {
            copyOut(io.offsetBytes + at, all, at, SECTOR);
        }
        int at = 0;
        for (int i = 0; i < io.iovecCount; i++) {
            int length = (int) Iovecs.length(io.iovecsAddress, i);
            Memory.copyFromArray(all, at, Iovecs.base(io.iovecsAddress, i), length);
            at += length;
        }
        return 0;
    }

    private int performWrite(BlockIo io, byte[] data) {
        boolean node = isNode(data);
        boolean metadata = node || io.offsetBytes < logEndBytes;
        if (faults.failsWrite(metadata)) {
            return -Errno.EIO;
        }
        trace.add(data);
        sequence++;
        long offset = metadata ? damage(io.offsetBytes, data, node) : io.offsetBytes;
        if (offset < 0) {
            return 0;
        }
        if (!profile.volatileCache() || (io.flags & BlockIo.FLAG_FUA) != 0) {
            storeDurably(offset, data);
        } else {
            storeVolatile(offset, data);
        }
        return 0;
    }

    private static boolean isNode(byte[] data) {
        return data.length == NODE_BYTES && littleEndian(data) == NODE_MAGIC;
    }

    private static int littleEndian(byte[] data) {
        return (data[0] & 0xff) | ((data[1] & 0xff) << 8) | ((data[2] & 0xff) << 16) | (data[3] << 24);
    }

    /** Where a write of metadata really goes: -1, nowhere. */
    private long damage(long offset, byte[] data, boolean node) {
        if (node || !faults.onlyNodes) {
            metadataOffsets.add(offset);
        }
        if (faults.losesWrite(node, node && holdsNode(offset))) {
            return -1;
        }
        if (faults.rots(node)) {
            data[usedByte(data, node)] ^= (byte) (1 << random.below(8));
        }
        if (faults.misdirectsWrite(node)) {
            long other = metadataOffsets.get(random.below(metadataOffsets.size()));
            return other + data.length <= deviceBytes ? other : offset;
        }
        return offset;
    }

    /** Whether a node lies there that takes itself for the one at this place: what a lost write leaves. */
    private boolean holdsNode(long offset) {
        byte[] first = new byte[SECTOR];
        copyOut(offset, first, 0, SECTOR);
        return littleEndian(first) == NODE_MAGIC;
    }

    /** A byte that means something: most of a node is empty. On-disk format: "Tree". */
    private int usedByte(byte[] data, boolean node) {
        if (!node) {
            return random.below(data.length);
        }
        int count = unsignedShort(data, NODE_COUNT_OFFSET);
        boolean leaf = data[NODE_LEVEL_OFFSET] == 0;
        int keys = count * (leaf ? LEAF_SLOT_BYTES : INNER_KEY_BYTES);
        int second = leaf ? unsignedShort(data, NODE_HEAP_OFFSET) : INNER_CHILDREN_OFFSET;
        int secondBytes = leaf ? NODE_BYTES - second : count * INNER_CHILD_BYTES;
        int at = random.below(NODE_HEADER_BYTES + keys + secondBytes);
        return at < NODE_HEADER_BYTES + keys ? at : second + at - NODE_HEADER_BYTES - keys;
    }

    private static int unsignedShort(byte[] data, int at) {
        return (data[at] & 0xff) | ((data[at + 1] & 0xff) << 8);
    }

    private int performFlush(long upTo) {
        if (faults.failsWrite(true)) {
            return -Errno.EIO;
        }
        flushes++;
        writeBack(upTo);
        return 0;
    }

    private int performDiscard(BlockIo io) {
        if (faults.failsWrite(false)) {
            return -Errno.EIO;
        }
        discarded++;
        giveUp(io.offsetBytes, io.lengthBytes);
        return 0;
    }

    private int performZeroes(BlockIo io) {
        return performWrite(io, new byte[(int) io.lengthBytes]);
    }

    private long latencyNs(BlockIo io) {
        long ns = profile.latencyNs() / 2 + random.between(0L, profile.latencyNs());
        if (random.below(1000) < profile.slowPermille()) {
            ns *= SLOW_FACTOR;
        }
        if (profile.slowReadPercent() > 0 && io.operation == BlockIo.READ && fates.percent(profile.slowReadPercent())) {
            ns *= SLOW_READ_FACTOR;
        }
        if (profile.slowRoots() && isRootWrite(io) && fates.percent(70)) {
            ns += fates.between(1L, SLOWEST_ROOT_NS);
        }
        return random.below(100_000) < profile.stuckPer100000() ? ns + STUCK_NS : ns;
    }

    /** The earliest end of a request of reactors that the simulation steps, or {@code Long.MAX_VALUE}. */
    long nextDueNs() {
        long next = Long.MAX_VALUE;
        for (Channel channel : channels) {
            next = Math.min(next, channel.nextDueNs());
        }
        return next;
    }

    private void check(BlockIo io) {
        if (io.operation == BlockIo.FLUSH) {
            return;
        }
        int unit = profile.blockBytes();
        boolean transfers = io.operation == BlockIo.READ || io.operation == BlockIo.WRITE;
        if (io.lengthBytes == 0 || io.check(unit, knownBytes) != 0) {
            throw new SimFailure("a request for bytes " + io.offsetBytes + " + " + io.lengthBytes + ", in iovecs for "
                    + (transfers ? Iovecs.totalLength(io.iovecsAddress, io.iovecCount) : 0)
                    + ", of a disk with units of " + unit + " and " + knownBytes + " bytes");
        }
        if (transfers) {
            for (int i = 0; i < io.iovecCount; i++) {
                if (Iovecs.base(io.iovecsAddress, i) % profile.memoryAlignment() != 0) {
                    throw new SimFailure("a request's memory is not aligned as the disk asks");
                }
            }
        }
        checkNoOverlap(io);
    }

    /**
     * Two writes of the same bytes at once leave it to chance what is there afterwards; and what is discarded nobody may be
     * reading or writing. A read beside a write is the guest's affair.
     */
    private void checkNoOverlap(BlockIo io) {
        for (Channel channel : channels) {
            for (Flight flight : channel.flights) {
                BlockIo other = flight.io;
                boolean isDiscard = io.operation == BlockIo.DISCARD || other.operation == BlockIo.DISCARD;
                boolean clash = isDiscard
                        ? io.operation != BlockIo.FLUSH && other.operation != BlockIo.FLUSH
                        : io.operation == BlockIo.WRITE && other.operation == BlockIo.WRITE;
                if (clash
                        && other.offsetBytes < io.offsetBytes + io.lengthBytes
                        && io.offsetBytes < other.offsetBytes + other.lengthBytes) {
                    long at = Math.max(io.offsetBytes, other.offsetBytes);
                    throw new SimFailure("a " + name(io.operation) + " beside a " + name(other.operation)
                            + ", both of disk byte " + at + ", block " + at / BLOCK);
                }
            }
        }
    }

    private static String name(int operation) {
        return switch (operation) {
            case BlockIo.READ -> "read";
            case BlockIo.WRITE -> "write";
            case BlockIo.DISCARD -> "discard";
            default -> "write of zeroes";
        };
    }

    // --- the device

    @Override
    public String name() {
        return "simulated disk";
    }

    @Override
    public int blockSize() {
        return profile.blockBytes();
    }

    @Override
    public long capacityBytes() {
        return knownBytes;
    }

    @Override
    public long refreshCapacity() {
        knownBytes = deviceBytes;
        return knownBytes;
    }

    @Override
    public boolean hasVolatileCache() {
        return profile.volatileCache();
    }

    @Override
    public int atomicWriteBytes() {
        return profile.atomicBytes();
    }

    @Override
    public boolean supportsDiscard() {
        return discards;
    }

    @Override
    public int memoryAlignment() {
        return profile.memoryAlignment();
    }

    @Override
    public Reactor newBlockingReactor(String name) {
        return new Reactor(Reactor.Config.named(name).withClock(clock).withMailboxCapacity(64));
    }

    @Override
    public BlockChannel openChannel(Reactor reactor) {
        Channel channel = new Channel(reactor, !live.contains(reactor));
        channels.add(channel);
        reactor.addPoller(channel);
        return channel;
    }

    @Override
    public void close() {}

    /** One reactor's requests. */
    private final class Channel implements BlockChannel, io.vhostfs.reactor.Poller {
        private final Reactor reactor;
        /** The caller waits for each request: nobody else lets time pass. */
        private final boolean blocking;

        private final List<Flight> flights = new ArrayList<>();

        Channel(Reactor reactor, boolean blocking) {
            this.reactor = reactor;
            this.blocking = blocking;
        }

        @Override
        public int submit(BlockIo io) {
            clock.checkLimits();
            check(io);
            requests++;
            if (isRootWrite(io)) {
                noteRootWrite();
            }
            if (powerOff) {
                return blocking ? -Errno.EIO : PENDING;
            }
            boolean early = io.operation == BlockIo.WRITE && random.percent(50);
            Flight flight = new Flight(io, clock.monotonicNs() + latencyNs(io), early ? gather(io) : null, sequence);
            if (random.percent(profile.immediatePercent()) && cutCountdown != 1) {
                if (cutCountdown > 0) {
                    cutCountdown--;
                }
                return perform(flight);
            }
            flights.add(flight);
            if (countsDownToCut()) {
                cutPower();
            }
            return PENDING;
        }

        @Override
        public int poll() {
            clock.checkLimits();
            if (powerOff) {
                return blocking ? failAll() : 0;
            }
            if (blocking && !flights.isEmpty()) {
                clock.advanceTo(nextDueNs());
            }
            int done = 0;
            Flight flight = takeDue();
            while (flight != null && !powerOff) {
                done++;
                flight.io.onComplete(perform(flight));
                flight = powerOff ? null : takeDue();
            }
            return done;
        }

        /** The first request that is due, unless the power goes at its end. */
        private @Nullable Flight takeDue() {
            Flight first = null;
            for (Flight flight : flights) {
                if (flight.dueNs <= clock.monotonicNs() && (first == null || flight.dueNs < first.dueNs)) {
                    first = flight;
                }
            }
            if (first == null) {
                return null;
            }
            if (countsDownToCut()) {
                cutPower();
                return null;
            }
            flights.remove(first);
            return first;
        }

        private int failAll() {
            List<Flight> all = new ArrayList<>(flights);
            flights.clear();
            for (Flight flight : all) {
                flight.io.onComplete(-Errno.EIO);
            }
            return all.size();
        }

        long nextDueNs() {
            long next = Long.MAX_VALUE;
            for (Flight flight : flights) {
                next = Math.min(next, flight.dueNs);
            }
            return next;
        }

        @Override
        public boolean prepareToSleep() {
            return flights.isEmpty();
        }

        @Override
        public void wake() {}

        @Override
        public int inFlight() {
            return flights.size();
        }

        @Override
        public void close() {
            reactor.removePoller(this);
            channels.remove(this);
        }
    }
}
