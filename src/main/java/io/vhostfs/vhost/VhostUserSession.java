package io.vhostfs.vhost;

import static io.vhostfs.os.LibcConstants.F_GETFL;
import static io.vhostfs.os.LibcConstants.F_SETFL;
import static io.vhostfs.os.LibcConstants.O_NONBLOCK;
import static io.vhostfs.os.LibcConstants.S_IFIFO;
import static io.vhostfs.os.LibcConstants.S_IFMT;
import static io.vhostfs.os.LibcConstants.S_IFSOCK;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_CONFIG_S_NEEDS_RESET;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_F_VERSION_1;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_RING_F_EVENT_IDX;
import static io.vhostfs.virtio.VirtioConstants.VIRTIO_RING_F_INDIRECT_DESC;

import io.vhostfs.memory.GuestMemory;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.FileStatus;
import io.vhostfs.os.Libc;
import io.vhostfs.reactor.Reactor;
import io.vhostfs.virtio.SplitVirtqueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One front end, from its connection to its end.
 *
 * <p>Invariant: a ring's poller is on its reactor exactly while the ring has a size, addresses that the memory table
 * holds, a kick, and is enabled; the memory table loses a region only while no poller is on any reactor. A request that
 * cannot be granted changes nothing but what its comment says, and the front end learns of it: by a non-zero
 * acknowledgement where it asked for one, by a closed connection where it did not. The server's thread; the methods of
 * {@link VringPoller.Owner} run on reactors.
 */
final class VhostUserSession implements VringPoller.Owner, AutoCloseable {
    static final long PROTOCOL_FEATURES = 1L << VHOST_USER_PROTOCOL_F_MQ
            | 1L << VHOST_USER_PROTOCOL_F_REPLY_ACK
            | 1L << VHOST_USER_PROTOCOL_F_BACKEND_REQ
            | 1L << VHOST_USER_PROTOCOL_F_CONFIG
            | 1L << VHOST_USER_PROTOCOL_F_RESET_DEVICE
            | 1L << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
            | 1L << VHOST_USER_PROTOCOL_F_STATUS;

    static final long RING_FEATURES =
            1L << VIRTIO_F_VERSION_1 | 1L << VIRTIO_RING_F_INDIRECT_DESC | 1L << VIRTIO_RING_F_EVENT_IDX;

    /** A request that a memory fault interrupted may be lost; after so long its ring is given up. */
    private static final long LOST_REQUEST_TIMEOUT_NS = TimeUnit.SECONDS.toNanos(5);

    private static final long DRAIN_LOG_INTERVAL_NS = TimeUnit.SECONDS.toNanos(10);

    private static final Logger LOG = LoggerFactory.getLogger(VhostUserSession.class);

    private final VhostDeviceBackend device;
    private final String name;
    private final VhostUserConnection connection;
    private final EventFd wakeFd;
    private final Vring[] vrings;
    private final MemoryTable memory = new MemoryTable(this::onMemoryGone);

    private GuestMemory guestMemory = GuestMemory.EMPTY;
    private long features;
    private long protocolFeatures;
    private int status;
    private int backendRequestFd = -1;
    private boolean brokenTold;
    private boolean requestsLost;

    // Written by reactors.
    private volatile boolean broken;
    private volatile boolean memoryGone;
    private volatile @Nullable String brokenReason;
    private volatile @Nullable Throwable handlerFailure;

    /** @param wakeFd signalled when a reactor has something to say */
    VhostUserSession(VhostDeviceBackend device, VhostUserConnection connection, EventFd wakeFd) {
        this.device = device;
        this.name = device.name();
        this.connection = connection;
        this.wakeFd = wakeFd;
        vrings = new Vring[device.queueCount()];
        for (int i = 0; i < vrings.length; i++) {
            vrings[i] = new Vring(i);
        }
    }

    /** Serves the front end until it disconnects; an exception names what made the session end. */
    void run() throws VhostUserException {
        while (connection.receive()) {
            dispatch();
        }
    }

    /** Hears what reactors signalled; an exception ends the session. */
    void onWake() throws VhostUserException {
        if (memoryGone) {
            throw VhostUserException.ended("the front end took away memory that it shared");
        }
        Throwable failure = handlerFailure;
        if (failure != null) {
            LOG.error("{}: a request failed in a way that must not be", name, failure);
            throw VhostUserException.ended("internal error: " + failure);
        }
        if (broken && !brokenTold) {
            brokenTold = true;
            LOG.warn("{}: device is broken until the guest resets it: {}", name, brokenReason);
            for (Vring vring : vrings) {
                if (vring.errFd >= 0) {
                    EventFd.signal(vring.errFd);
                }
            }
        }
    }

    /** Stops the rings, ends the guest's session, unmaps its memory, closes everything, whatever of that fails. */
    @Override
    public void close() {
        for (Vring vring : vrings) {
            try {
                stop(vring);
            } catch (RuntimeException e) {
                requestsLost = true;
                LOG.error("{}: queue {} does not stop", name, vring.index, e);
            }
            vring.closeFds();
        }
        try {
            await("ending the guest's session", device::onDisconnect);
        } catch (RuntimeException e) {
            LOG.error("{}: the guest's session does not end", name, e);
        }
        memory.close(requestsLost);
        if (backendRequestFd >= 0) {
            Libc.close(backendRequestFd);
        }
        connection.close();
    }

    // Reactors.

    @Override
    public boolean isBroken() {
        return broken;
    }

    @Override
    public void onRingBroken(int queueIndex, String reason) {
        brokenReason = "queue " + queueIndex + ": " + reason;
        broken = true;
        wakeFd.signal();
    }

    @Override
    public void onMemoryFault() {
        memory.onMemoryFault();
    }

    @Override
    public boolean isEndedByFault() {
        return memory.isEndedByFault();
    }

    @Override
    public void onHandlerFailure(int queueIndex, Throwable thrown) {
        broken = true;
        handlerFailure = thrown;
        wakeFd.signal();
    }

    private void onMemoryGone() {
        broken = true;
        memoryGone = true;
        wakeFd.signal();
    }

    // Requests.

    private void dispatch() throws VhostUserException {
        int request = connection.request();
        boolean acknowledge = connection.needsReply() && negotiated(VHOST_USER_PROTOCOL_F_REPLY_ACK);
        LOG.debug("{}: {}, {} bytes, {} fds", name, requestName(request), connection.size(), connection.fdCount());
        try {
            boolean replied = handle(request);
            if (acknowledge && !replied) {
                connection.replyU64(0);
            }
        } catch (VhostUserException e) {
            String message = requestName(request) + ": " + e.getMessage();
            if (e.endsSession() || !acknowledge || hasReply(request)) {
                throw VhostUserException.ended(message);
            }
            LOG.warn("{}: {} refused", name, message);
            connection.replyU64(1);
        } catch (CompletionException e) {
            LOG.error("{}: {} failed on its reactor", name, requestName(request), e.getCause());
            throw VhostUserException.ended(requestName(request) + ": internal error: " + e.getCause());
        }
    }

    /** Requests whose answer is not an acknowledgement: need_reply means nothing there. */
    private static boolean hasReply(int request) {
        return switch (request) {
            case VHOST_USER_GET_FEATURES,
                    VHOST_USER_GET_PROTOCOL_FEATURES,
                    VHOST_USER_GET_VRING_BASE,
                    VHOST_USER_GET_QUEUE_NUM,
                    VHOST_USER_GET_CONFIG,
                    VHOST_USER_GET_MAX_MEM_SLOTS,
                    VHOST_USER_GET_STATUS -> true;
            default -> false;
        };
    }

    /** True when the request's own reply was sent. */
    private boolean handle(int request) throws VhostUserException {
        switch (request) {
            case VHOST_USER_GET_FEATURES -> {
                expect(0, 0);
                connection.replyU64(offeredFeatures());
            }
            case VHOST_USER_GET_PROTOCOL_FEATURES -> {
                expect(0, 0);
                connection.replyU64(PROTOCOL_FEATURES);
            }
            case VHOST_USER_GET_QUEUE_NUM -> {
                expect(0, 0);
                connection.replyU64(vrings.length);
            }
            case VHOST_USER_GET_MAX_MEM_SLOTS -> {
                expect(0, 0);
                require(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
                connection.replyU64(GuestMemory.MAX_REGIONS);
            }
            case VHOST_USER_GET_STATUS -> {
                expect(0, 0);
                require(VHOST_USER_PROTOCOL_F_STATUS);
                connection.replyU64(status | (broken ? VIRTIO_CONFIG_S_NEEDS_RESET : 0));
            }
            case VHOST_USER_GET_VRING_BASE -> getVringBase();
            case VHOST_USER_GET_CONFIG -> getConfig();
            default -> {
                change(request);
                return false;
            }
        }
        return true;
    }

    private void change(int request) throws VhostUserException {
        switch (request) {
            case VHOST_USER_SET_FEATURES -> setFeatures();
            case VHOST_USER_SET_PROTOCOL_FEATURES -> setProtocolFeatures();
            case VHOST_USER_SET_OWNER -> expect(0, 0);
            case VHOST_USER_RESET_OWNER -> {
                // Deprecated; QEMU's text recommends to disable the rings, and no more.
                expect(0, 0);
                stopAll();
            }
            case VHOST_USER_SET_MEM_TABLE -> setMemTable();
            case VHOST_USER_ADD_MEM_REG -> addMemReg();
            case VHOST_USER_REM_MEM_REG -> remMemReg();
            case VHOST_USER_SET_VRING_NUM -> setVringNum();
            case VHOST_USER_SET_VRING_ADDR -> setVringAddr();
            case VHOST_USER_SET_VRING_BASE -> setVringBase();
            case VHOST_USER_SET_VRING_KICK -> setVringKick();
            case VHOST_USER_SET_VRING_CALL -> setVringCall();
            case VHOST_USER_SET_VRING_ERR -> {
                Vring vring = vringOfFdRequest();
                vring.setErrFd(takeVringFd());
            }
            case VHOST_USER_SET_VRING_ENABLE -> setVringEnable();
            case VHOST_USER_SET_CONFIG -> setConfig();
            case VHOST_USER_SET_BACKEND_REQ_FD -> setBackendReqFd();
            case VHOST_USER_RESET_DEVICE -> resetDevice();
            case VHOST_USER_SET_STATUS -> setStatus();
            default -> throw VhostUserException.refused("not supported");
        }
    }

    private long offeredFeatures() {
        return RING_FEATURES | 1L << VHOST_USER_F_PROTOCOL_FEATURES | device.deviceFeatures();
    }

    private void setFeatures() throws VhostUserException {
        expect(Long.BYTES, 0);
        long wanted = Memory.getLong(connection.payload());
        long unknown = wanted & ~offeredFeatures();
        if (unknown != 0) {
            throw VhostUserException.refused("features 0x" + Long.toHexString(unknown) + " were not offered");
        }
        if (((wanted ^ features) & RING_FEATURES) != 0 && anyStarted()) {
            throw VhostUserException.refused("ring features cannot change while a ring is started");
        }
        features = wanted;
        updateAll();
    }

    private void setProtocolFeatures() throws VhostUserException {
        expect(Long.BYTES, 0);
        long wanted = Memory.getLong(connection.payload());
        long unknown = wanted & ~PROTOCOL_FEATURES;
        if (unknown != 0) {
            throw VhostUserException.refused("protocol features 0x" + Long.toHexString(unknown) + " were not offered");
        }
        protocolFeatures = wanted;
    }

    /** Replaces all regions; when it is refused there are none, and the rings rest until the next table. */
    private void setMemTable() throws VhostUserException {
        if (connection.size() < VHOST_USER_MEMORY_REGIONS_OFFSET) {
            expect(VHOST_USER_MEMORY_REGIONS_OFFSET, 0);
        }
        int count = Memory.getInt(connection.payload() + VHOST_USER_MEMORY_NREGIONS_OFFSET);
        if (count < 0 || count > VHOST_USER_MAX_REGIONS) {
            throw VhostUserException.refused(Integer.toUnsignedString(count) + " regions, at most "
                    + VHOST_USER_MAX_REGIONS + " fit into this request");
        }
        expect(VHOST_USER_MEMORY_REGIONS_OFFSET + count * VHOST_USER_MEMORY_REGION_SIZE, count);
        pauseAll();
        guestMemory = GuestMemory.EMPTY;
        memory.clear();
        try {
            for (int i = 0; i < count; i++) {
                addRegion(
                        connection.payload()
                                + VHOST_USER_MEMORY_REGIONS_OFFSET
                                + (long) i * VHOST_USER_MEMORY_REGION_SIZE,
                        i);
            }
        } catch (VhostUserException e) {
            memory.clear();
            throw e;
        }
        guestMemory = memory.snapshot();
        updateAll();
    }

    private void addMemReg() throws VhostUserException {
        expect(VHOST_USER_SINGLE_MEMORY_REGION_SIZE, 1);
        require(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
        addRegion(connection.payload() + VHOST_USER_SINGLE_MEMORY_REGION_REGION_OFFSET, 0);
        guestMemory = memory.snapshot();
        for (Vring vring : vrings) {
            VringPoller poller = vring.poller;
            if (poller != null) {
                GuestMemory snapshot = guestMemory;
                onReactor(vring, () -> poller.queue().setMemory(snapshot));
            }
        }
        updateAll();
    }

    private void remMemReg() throws VhostUserException {
        // A descriptor is what some front ends send against the text; it is closed like any that nobody takes.
        expect(VHOST_USER_SINGLE_MEMORY_REGION_SIZE, Math.min(connection.fdCount(), 1));
        require(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
        long region = connection.payload() + VHOST_USER_SINGLE_MEMORY_REGION_REGION_OFFSET;
        long guestAddress = Memory.getLong(region + VHOST_USER_MEMORY_REGION_GUEST_PHYS_ADDR_OFFSET);
        pauseAll();
        boolean removed = memory.remove(
                guestAddress,
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_MEMORY_SIZE_OFFSET),
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_USERSPACE_ADDR_OFFSET));
        guestMemory = memory.snapshot();
        updateAll();
        if (!removed) {
            throw VhostUserException.refused("no such region at 0x" + Long.toHexString(guestAddress));
        }
    }

    private void addRegion(long region, int fdIndex) throws VhostUserException {
        memory.add(
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_GUEST_PHYS_ADDR_OFFSET),
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_MEMORY_SIZE_OFFSET),
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_USERSPACE_ADDR_OFFSET),
                Memory.getLong(region + VHOST_USER_MEMORY_REGION_MMAP_OFFSET_OFFSET),
                connection.fd(fdIndex));
        connection.takeFd(fdIndex);
    }

    private void setVringNum() throws VhostUserException {
        Vring vring = vringOfState();
        long size = Memory.getUnsignedInt(connection.payload() + VHOST_VRING_STATE_NUM_OFFSET);
        if (!SplitVirtqueue.isValidSize(size)) {
            throw VhostUserException.refused(
                    "a ring of " + size + " entries: it has to be a power of two up to " + SplitVirtqueue.MAX_SIZE);
        }
        if (vring.poller != null && vring.size != size) {
            throw VhostUserException.refused("ring " + vring.index + " is started");
        }
        vring.size = (int) size;
    }

    private void setVringAddr() throws VhostUserException {
        expect(VHOST_VRING_ADDR_SIZE, 0);
        long payload = connection.payload();
        Vring vring = vring(Memory.getUnsignedInt(payload + VHOST_VRING_ADDR_INDEX_OFFSET));
        int flags = Memory.getInt(payload + VHOST_VRING_ADDR_FLAGS_OFFSET);
        if (flags != 0) {
            throw VhostUserException.refused("flags 0x" + Integer.toHexString(flags) + ": logging was not offered");
        }
        long desc = Memory.getLong(payload + VHOST_VRING_ADDR_DESC_USER_ADDR_OFFSET);
        long used = Memory.getLong(payload + VHOST_VRING_ADDR_USED_USER_ADDR_OFFSET);
        long avail = Memory.getLong(payload + VHOST_VRING_ADDR_AVAIL_USER_ADDR_OFFSET);
        if (!SplitVirtqueue.isAligned(desc, avail, used)) {
            throw VhostUserException.refused("ring " + vring.index + " is misaligned");
        }
        pause(vring);
        vring.descUserAddress = desc;
        vring.usedUserAddress = used;
        vring.availUserAddress = avail;
        vring.hasAddresses = true;
        if (vring.size != 0 && memory.size() != 0) {
            resolve(vring);
        }
        update(vring);
    }

    private void setVringBase() throws VhostUserException {
        Vring vring = vringOfState();
        long base = Memory.getUnsignedInt(connection.payload() + VHOST_VRING_STATE_NUM_OFFSET);
        if (base > 0xffff) {
            throw VhostUserException.refused("base " + base + " of a split ring is more than 65535");
        }
        if (vring.poller != null) {
            throw VhostUserException.refused("ring " + vring.index + " is started");
        }
        vring.base = (int) base;
    }

    private void getVringBase() throws VhostUserException {
        Vring vring = vringOfState();
        stop(vring);
        vring.hasKick = false;
        vring.setKickFd(-1);
        Memory.putInt(connection.payload() + VHOST_VRING_STATE_NUM_OFFSET, vring.base);
        connection.reply(VHOST_VRING_STATE_SIZE);
    }

    private void setVringKick() throws VhostUserException {
        Vring vring = vringOfFdRequest();
        int fd = takeVringFd();
        pause(vring);
        vring.setKickFd(fd);
        vring.hasKick = true;
        update(vring);
    }

    private void setVringCall() throws VhostUserException {
        Vring vring = vringOfFdRequest();
        int fd = takeVringFd();
        VringPoller poller = vring.poller;
        if (poller != null) {
            onReactor(vring, () -> poller.queue().setCallFd(fd));
        }
        vring.setCallFd(fd);
    }

    private void setVringEnable() throws VhostUserException {
        Vring vring = vringOfState();
        int enable = Memory.getInt(connection.payload() + VHOST_VRING_STATE_NUM_OFFSET);
        if (enable != 0 && enable != 1) {
            throw VhostUserException.refused("ring " + vring.index + ": " + Integer.toUnsignedString(enable)
                    + " is neither 0 (disable) nor 1 (enable)");
        }
        if ((features & 1L << VHOST_USER_F_PROTOCOL_FEATURES) == 0) {
            throw VhostUserException.refused("VHOST_USER_F_PROTOCOL_FEATURES was not negotiated");
        }
        vring.enabled = enable == 1;
        update(vring);
    }

    private void getConfig() throws VhostUserException {
        require(VHOST_USER_PROTOCOL_F_CONFIG);
        int size = checkedConfigSize();
        if (size < 0) {
            // A payload of length zero says that the request was wrong.
            connection.reply(0);
            return;
        }
        long payload = connection.payload();
        int offset = Memory.getInt(payload + VHOST_USER_CONFIG_OFFSET_OFFSET);
        byte[] config = device.config();
        Memory.zero(payload + VHOST_USER_CONFIG_SIZE, size);
        int available = Math.clamp((long) config.length - offset, 0, size);
        if (available > 0) {
            Memory.copyFromArray(config, offset, payload + VHOST_USER_CONFIG_SIZE, available);
        }
        connection.reply(VHOST_USER_CONFIG_SIZE + size);
    }

    /** Nothing in the configuration space can be written; a migration may bring what is there already. */
    private void setConfig() throws VhostUserException {
        require(VHOST_USER_PROTOCOL_F_CONFIG);
        int size = checkedConfigSize();
        if (size < 0) {
            throw VhostUserException.refused("it names bytes that it does not hold");
        }
        long payload = connection.payload();
        int offset = Memory.getInt(payload + VHOST_USER_CONFIG_OFFSET_OFFSET);
        int flags = Memory.getInt(payload + VHOST_USER_CONFIG_FLAGS_OFFSET);
        byte[] config = device.config();
        boolean same = flags == VHOST_USER_CONFIG_FLAG_MIGRATION && offset + size <= config.length;
        for (int i = 0; same && i < size; i++) {
            same = Memory.getByte(payload + VHOST_USER_CONFIG_SIZE + i) == config[offset + i];
        }
        if (!same) {
            throw VhostUserException.refused("the configuration space is read-only");
        }
    }

    /** Bytes of the configuration space that the request is about, or -1 when its numbers do not fit together. */
    private int checkedConfigSize() throws VhostUserException {
        if (connection.size() < VHOST_USER_CONFIG_SIZE || connection.fdCount() != 0) {
            expect(VHOST_USER_CONFIG_SIZE, 0);
        }
        long offset = Memory.getUnsignedInt(connection.payload() + VHOST_USER_CONFIG_OFFSET_OFFSET);
        long size = Memory.getUnsignedInt(connection.payload() + VHOST_USER_CONFIG_SIZE_OFFSET);
        boolean fits =
                offset + size <= VHOST_USER_MAX_CONFIG_SIZE && connection.size() == VHOST_USER_CONFIG_SIZE + size;
        return fits ? (int) size : -1;
    }

    private void setBackendReqFd() throws VhostUserException {
        expect(0, 1);
        require(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
        if (backendRequestFd >= 0) {
            Libc.close(backendRequestFd);
        }
        backendRequestFd = connection.takeFd(0);
    }

    private void resetDevice() throws VhostUserException {
        expect(0, 0);
        require(VHOST_USER_PROTOCOL_F_RESET_DEVICE);
        stopAll();
        for (Vring vring : vrings) {
            vring.enabled = false;
        }
        status = 0;
        await("resetting the device", device::onReset);
    }

    /**
     * Keeps the status. 0 stops the rings and no more: QEMU sends it for a guest that is merely paused, whose open files
     * have to be there when it goes on.
     */
    private void setStatus() throws VhostUserException {
        expect(Long.BYTES, 0);
        require(VHOST_USER_PROTOCOL_F_STATUS);
        long wanted = Memory.getLong(connection.payload());
        if ((wanted & ~0xffL) != 0) {
            throw VhostUserException.refused("status 0x" + Long.toHexString(wanted) + " has more than 8 bits");
        }
        status = (int) wanted;
        if (status == 0) {
            stopAll();
        }
    }

    // Checks of what requests carry.

    private void expect(int payloadBytes, int fds) throws VhostUserException {
        if (connection.size() != payloadBytes) {
            throw VhostUserException.refused(connection.size() + " bytes of payload instead of " + payloadBytes);
        }
        if (connection.fdCount() != fds) {
            throw VhostUserException.refused(connection.fdCount() + " file descriptors instead of " + fds);
        }
    }

    private boolean negotiated(int protocolFeature) {
        return (protocolFeatures & 1L << protocolFeature) != 0;
    }

    private void require(int protocolFeature) throws VhostUserException {
        if (!negotiated(protocolFeature)) {
            throw VhostUserException.refused("its protocol feature was not negotiated");
        }
    }

    private Vring vringOfState() throws VhostUserException {
        expect(VHOST_VRING_STATE_SIZE, 0);
        return vring(Memory.getUnsignedInt(connection.payload() + VHOST_VRING_STATE_INDEX_OFFSET));
    }

    private Vring vringOfFdRequest() throws VhostUserException {
        if (connection.size() != Long.BYTES) {
            expect(Long.BYTES, 1);
        }
        long value = Memory.getLong(connection.payload());
        if ((value & ~(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD)) != 0) {
            throw VhostUserException.refused("unknown bits in 0x" + Long.toHexString(value));
        }
        expect(Long.BYTES, (value & VHOST_USER_VRING_NOFD) == 0 ? 1 : 0);
        return vring(value & VHOST_USER_VRING_INDEX_MASK);
    }

    private Vring vring(long index) throws VhostUserException {
        if (index >= vrings.length) {
            throw VhostUserException.refused("ring " + index + " of " + vrings.length);
        }
        return vrings[(int) index];
    }

    /**
     * The request's descriptor, -1 when it carries none. It is none that a reactor could have to wait for: not a file,
     * and set not to block.
     */
    private int takeVringFd() throws VhostUserException {
        if (connection.fdCount() == 0) {
            return -1;
        }
        FileStatus file = FileStatus.ofFd(connection.fd(0));
        int type = file.mode() & S_IFMT;
        if (file.errno() < 0 || (type != 0 && type != S_IFIFO && type != S_IFSOCK)) {
            throw VhostUserException.refused("its file descriptor is not an eventfd");
        }
        int fd = connection.takeFd(0);
        Libc.fcntl(fd, F_SETFL, Libc.fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
        return fd;
    }

    // Rings.

    private boolean anyStarted() {
        for (Vring vring : vrings) {
            if (vring.poller != null) {
                return true;
            }
        }
        return false;
    }

    private void updateAll() throws VhostUserException {
        for (Vring vring : vrings) {
            update(vring);
        }
    }

    /** Brings a ring into the state that the front end's requests so far ask for. */
    private void update(Vring vring) throws VhostUserException {
        boolean enabled = vring.enabled || (features & 1L << VHOST_USER_F_PROTOCOL_FEATURES) == 0;
        boolean due = enabled && vring.hasKick && vring.hasAddresses && vring.size != 0 && memory.size() != 0;
        if (!due) {
            pause(vring);
        } else if (!vring.running) {
            run(vring);
        }
    }

    private void run(Vring vring) throws VhostUserException {
        long[] rings = resolve(vring);
        VringPoller known = vring.poller;
        if (known == null) {
            start(vring, rings);
            LOG.info(
                    "{}: queue {} of {} entries is polled by {}",
                    name,
                    vring.index,
                    vring.size,
                    device.reactorFor(vring.index).name());
        } else {
            onReactor(vring, () -> {
                addWakeFd(vring);
                known.setKicked(vring.kickFd >= 0);
                known.queue().move(guestMemory, rings[0], rings[1], rings[2]);
                known.resume();
                device.reactorFor(vring.index).addPoller(known);
            });
        }
        vring.running = true;
    }

    private void start(Vring vring, long[] rings) {
        SplitVirtqueue queue = new SplitVirtqueue(name + " queue " + vring.index, vring.size);
        VringPoller poller = new VringPoller(this, queue, vring.index);
        poller.setKicked(vring.kickFd >= 0);
        try {
            onReactor(vring, () -> {
                addWakeFd(vring);
                try {
                    queue.start(guestMemory, rings[0], rings[1], rings[2], vring.base, features, vring.callFd);
                    poller.setHandler(device.onQueueStarted(vring.index, queue));
                } catch (RuntimeException | Error e) {
                    removeWakeFd(vring);
                    throw e;
                }
                device.reactorFor(vring.index).addPoller(poller);
            });
        } catch (CompletionException e) {
            queue.close();
            throw e;
        }
        vring.poller = poller;
    }

    private void addWakeFd(Vring vring) {
        if (vring.kickFd >= 0) {
            device.reactorFor(vring.index).addWakeFd(vring.kickFd);
        }
    }

    private void removeWakeFd(Vring vring) {
        if (vring.kickFd >= 0) {
            device.reactorFor(vring.index).removeWakeFd(vring.kickFd);
        }
    }

    /** Local addresses of descriptor table, available ring and used ring. */
    private long[] resolve(Vring vring) throws VhostUserException {
        return new long[] {
            resolve(vring, "descriptor table", vring.descUserAddress, SplitVirtqueue.descTableBytes(vring.size)),
            resolve(vring, "available ring", vring.availUserAddress, SplitVirtqueue.availRingBytes(vring.size)),
            resolve(vring, "used ring", vring.usedUserAddress, SplitVirtqueue.usedRingBytes(vring.size))
        };
    }

    private long resolve(Vring vring, String what, long userAddress, long lengthBytes) throws VhostUserException {
        long address = guestMemory.translateUser(userAddress, lengthBytes);
        if (address == 0) {
            throw VhostUserException.refused("ring " + vring.index + ": its " + what + " at 0x"
                    + Long.toHexString(userAddress) + " is not in the memory table");
        }
        return address;
    }

    private void pauseAll() {
        for (Vring vring : vrings) {
            pause(vring);
        }
    }

    /** Takes a ring's poller from its reactor, once none of its requests is in flight. */
    private void pause(Vring vring) {
        VringPoller poller = vring.poller;
        if (poller == null || !vring.running) {
            return;
        }
        CompletableFuture<Void> drained = new CompletableFuture<>();
        onReactor(vring, () -> poller.drain(() -> drained.complete(null)));
        device.onQueueDraining(vring.index);
        requestsLost |= !awaitDrained(vring, drained);
        onReactor(vring, () -> {
            device.reactorFor(vring.index).removePoller(poller);
            removeWakeFd(vring);
        });
        vring.running = false;
    }

    private void stopAll() {
        for (Vring vring : vrings) {
            stop(vring);
            vring.hasKick = false;
            vring.setKickFd(-1);
        }
    }

    private void stop(Vring vring) {
        VringPoller poller = vring.poller;
        if (poller == null) {
            return;
        }
        try {
            pause(vring);
            onReactor(vring, () -> device.onQueueStopped(vring.index));
        } finally {
            vring.base = poller.queue().lastAvail();
            vring.poller = null;
            vring.running = false;
        }
        if (poller.queue().inFlight() == 0) {
            poller.queue().close();
        }
        if (!anyStarted() && !memoryGone && handlerFailure == null) {
            broken = false;
            brokenTold = false;
        }
    }

    /** False when requests of a session that has failed do not come back. */
    private boolean awaitDrained(Vring vring, CompletableFuture<Void> drained) {
        long start = System.nanoTime();
        long logged = start;
        while (true) {
            try {
                drained.get(100, TimeUnit.MILLISECONDS);
                return true;
            } catch (TimeoutException e) {
                long now = System.nanoTime();
                boolean mayBeLost = memoryGone || handlerFailure != null;
                if (mayBeLost && now - start > LOST_REQUEST_TIMEOUT_NS) {
                    LOG.warn("{}: queue {} is given up with requests in flight", name, vring.index);
                    return false;
                }
                if (now - logged > DRAIN_LOG_INTERVAL_NS) {
                    logged = now;
                    LOG.warn("{}: queue {} still waits for requests in flight", name, vring.index);
                }
            } catch (InterruptedException e) {
                // Guest memory must not be unmapped under requests; who wants the server's end calls its close.
                LOG.debug("{}: interrupted while a queue drains", name);
            } catch (ExecutionException e) {
                throw new CompletionException(e.getCause());
            }
        }
    }

    /** Runs {@code action} on the ring's reactor and waits for it. */
    private void onReactor(Vring vring, Runnable action) {
        Reactor reactor = device.reactorFor(vring.index);
        CompletableFuture<Void> done = new CompletableFuture<>();
        reactor.send(() -> {
            try {
                action.run();
                done.complete(null);
            } catch (RuntimeException | Error e) {
                done.completeExceptionally(e);
            }
        });
        while (!done.isDone()) {
            try {
                // Behind the message above; fails when the reactor has ended, where the message would wait for ever.
                reactor.ask(() -> true);
            } catch (InterruptedException e) {
                LOG.debug("{}: interrupted while reactor {} works", name, reactor.name());
            }
        }
        done.join();
    }

    private void await(String what, Consumer<Runnable> step) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        step.accept(() -> done.complete(null));
        while (true) {
            try {
                done.get(10, TimeUnit.SECONDS);
                return;
            } catch (TimeoutException e) {
                LOG.warn("{}: {} takes long", name, what);
            } catch (InterruptedException e) {
                LOG.debug("{}: interrupted while {}", name, what);
            } catch (ExecutionException e) {
                throw new CompletionException(e.getCause());
            }
        }
    }
}
