package io.vhostfs.blobfs;

import static io.vhostfs.os.LibcConstants.F_RDLCK;
import static io.vhostfs.os.LibcConstants.F_UNLCK;
import static io.vhostfs.os.LibcConstants.F_WRLCK;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.os.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LocksTest {
    private static final int ROOT = 1;
    private static final int BYTES = 48;
    private static final int CLIENTS = 2;
    private static final int OWNERS = 3;

    private final FsFixture fixture = new FsFixture(32 << 20);
    private final FsTestClient[] clients = {newClient(), newClient()};
    private final long[] handles = new long[CLIENTS];
    private long file;

    /** Without room for data: each request that waits is an object of its own. */
    private FsTestClient newClient() {
        return new FsTestClient(
                fixture.fileSystem, fixture.reactor, fixture.fileSystem.attach(FileSystem.ROOT_INODE), 4096);
    }

    @BeforeEach
    void openEverywhere() {
        file = clients[0].create(ROOT, "f");
        clients[1].lookup(ROOT, "f");
        for (int i = 0; i < CLIENTS; i++) {
            handles[i] = clients[i].open(file);
        }
    }

    @AfterEach
    void nothingIsLeft() {
        for (FsTestClient client : clients) {
            fixture.fileSystem.detach(client.client);
            assertEquals(0, ((BlobFsClient) client.client).lockCount);
            assertEquals(0, ((BlobFsClient) client.client).waitingLocks);
        }
        fixture.unmount();
        fixture.device.close();
    }

    private FsTestClient.Request request(int client, long owner, int type, long start, long end) {
        FsTestClient.Request r = clients[client].newRequest();
        r.inode = file;
        r.handle = handles[client];
        r.lockOwner = owner;
        r.lockType = type;
        r.offset = start;
        r.lockEnd = end;
        r.pid = 100 + client;
        return r;
    }

    private int lock(int client, long owner, int type, long start, long end) {
        return clients[client].call(request(client, owner, type, start, end), FsOp.SETLK);
    }

    private FsTestClient.Request flock(int client, long owner, int type) {
        FsTestClient.Request r = request(client, owner, type, 0, Long.MAX_VALUE);
        r.isFlock = true;
        return r;
    }

    /** Starts one that waits. */
    private FsTestClient.Request await(FsTestClient.Request r, int client, long key) {
        r.mayWait = true;
        r.key = key;
        clients[client].start(r, FsOp.SETLK);
        return r;
    }

    @Test
    void recordLocksAreThoseOfAModel() {
        Random random = new Random(1);
        int[][] model = new int[CLIENTS * OWNERS][BYTES];
        for (int[] owner : model) {
            java.util.Arrays.fill(owner, F_UNLCK);
        }
        int granted = 0;
        for (int step = 0; step < 10_000; step++) {
            int client = random.nextInt(CLIENTS);
            int owner = random.nextInt(OWNERS);
            int type = random.nextInt(3);
            int start = random.nextInt(BYTES);
            int end = start + random.nextInt(BYTES - start);
            int self = client * OWNERS + owner;
            boolean excluded = isExcluded(model, self, type, start, end);
            // The last byte stands for all behind it.
            long last = end == BYTES - 1 ? Long.MAX_VALUE : end;
            if (type != F_UNLCK) {
                FsTestClient.Request probe = request(client, owner, type, start, last);
                assertEquals(0, clients[client].call(probe, FsOp.GETLK));
                assertEquals(excluded, probe.lockType != F_UNLCK, "step " + step);
            }
            assertEquals(excluded ? -Errno.EAGAIN : 0, lock(client, owner, type, start, last), "step " + step);
            if (!excluded) {
                java.util.Arrays.fill(model[self], start, end + 1, type);
                granted++;
            }
            if (random.nextInt(1000) == 0) {
                FsTestClient.Request flush = request(client, owner, 0, 0, 0);
                assertEquals(0, clients[client].call(flush, FsOp.FLUSH));
                java.util.Arrays.fill(model[self], F_UNLCK);
            }
        }
        assertTrue(granted > 2_500, granted + " granted");
    }

    private static boolean isExcluded(int[][] model, int self, int type, int start, int end) {
        for (int other = 0; other < model.length && type != F_UNLCK; other++) {
            for (int i = start; i <= end && other != self; i++) {
                if (model[other][i] == F_WRLCK || (model[other][i] == F_RDLCK && type == F_WRLCK)) {
                    return true;
                }
            }
        }
        return false;
    }

    @Test
    void whatExcludesALockIsTold() {
        assertEquals(0, lock(0, 1, F_WRLCK, 10, 19));
        FsTestClient.Request other = request(1, 1, F_RDLCK, 0, Long.MAX_VALUE);
        assertEquals(0, clients[1].call(other, FsOp.GETLK));
        assertEquals(F_WRLCK, other.lockType);
        assertEquals(10, other.offset);
        assertEquals(19, other.lockEnd);
        assertEquals(0, other.pid, "a process of another client has no number here");
        FsTestClient.Request same = request(0, 2, F_RDLCK, 0, Long.MAX_VALUE);
        assertEquals(0, clients[0].call(same, FsOp.GETLK));
        assertEquals(100, same.pid);
    }

    @Test
    void whoWaitsGetsTheLockInOrder() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 99));
        FsTestClient.Request second = await(request(1, 1, F_WRLCK, 50, 60), 1, 1);
        FsTestClient.Request third = await(request(1, 2, F_WRLCK, 55, 70), 1, 2);
        FsTestClient.Request elsewhere = await(request(1, 3, F_RDLCK, 0, 10), 1, 3);
        assertEquals(FileSystem.PENDING, second.status);
        assertEquals(0, lock(0, 1, F_UNLCK, 20, 65));
        assertEquals(0, second.status);
        assertEquals(FileSystem.PENDING, third.status);
        assertEquals(FileSystem.PENDING, elsewhere.status);
        assertEquals(0, lock(0, 1, F_RDLCK, 0, 19), "a change to a shared lock");
        assertEquals(0, elsewhere.status);
        assertEquals(0, lock(1, 1, F_UNLCK, 0, Long.MAX_VALUE));
        assertEquals(FileSystem.PENDING, third.status);
        assertEquals(0, clients[0].call(request(0, 1, 0, 0, 0), FsOp.FLUSH));
        assertEquals(0, third.status);
    }

    @Test
    void waitingIsInterrupted() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 99));
        FsTestClient.Request waits = await(request(1, 1, F_WRLCK, 0, 9), 1, 77);
        FsTestClient.Request interrupt = clients[1].newRequest();
        interrupt.key = 77;
        assertEquals(0, clients[1].call(interrupt, FsOp.INTERRUPT));
        assertEquals(-Errno.EINTR, waits.status);
        interrupt.key = 78;
        assertEquals(0, clients[1].call(interrupt, FsOp.INTERRUPT), "it came first, on another channel");
        assertEquals(-Errno.EINTR, await(request(1, 1, F_WRLCK, 0, 9), 1, 78).status);
        FsTestClient.Request again = await(request(1, 1, F_WRLCK, 0, 9), 1, 78);
        assertEquals(FileSystem.PENDING, again.status, "once");
        fixture.fileSystem.interruptWaiting(clients[0].client);
        assertEquals(FileSystem.PENDING, again.status, "of another client");
        fixture.fileSystem.interruptWaiting(clients[1].client);
        assertEquals(-Errno.EINTR, again.status);
    }

    @Test
    void aClientThatGoesLeavesNoLock() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 99));
        assertEquals(0, clients[0].call(flock(0, 5, F_WRLCK), FsOp.SETLK));
        FsTestClient.Request record = await(request(1, 1, F_WRLCK, 0, 9), 1, 1);
        FsTestClient.Request whole = await(flock(1, 1, F_RDLCK), 1, 2);
        FsTestClient.Request own = await(flock(0, 6, F_RDLCK), 0, 3);
        fixture.fileSystem.detach(clients[0].client);
        assertEquals(0, record.status);
        assertEquals(0, whole.status);
        assertEquals(-Errno.ESTALE, own.status);
    }

    @Test
    void flockKnowsNothingOfRecordsAndGoesWithTheOpenFile() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, Long.MAX_VALUE));
        assertEquals(0, clients[1].call(flock(1, 1, F_RDLCK), FsOp.SETLK));
        assertEquals(0, clients[0].call(flock(0, 1, F_RDLCK), FsOp.SETLK));
        assertEquals(-Errno.EAGAIN, clients[0].call(flock(0, 2, F_WRLCK), FsOp.SETLK));
        FsTestClient.Request waits = await(flock(0, 2, F_WRLCK), 0, 1);
        assertEquals(0, clients[1].call(flock(1, 1, F_UNLCK), FsOp.SETLK));
        assertEquals(FileSystem.PENDING, waits.status);
        long another = clients[0].open(file);
        FsTestClient.Request release = clients[0].newRequest();
        release.handle = another;
        release.isFlock = true;
        release.lockOwner = 1;
        assertEquals(0, clients[0].call(release, FsOp.RELEASE));
        assertEquals(0, waits.status);
        assertEquals(0, clients[0].call(flock(0, 2, F_WRLCK), FsOp.SETLK), "it has it already");
        assertEquals(0, clients[0].call(flock(0, 2, F_RDLCK), FsOp.SETLK));
        assertEquals(0, clients[1].call(flock(1, 1, F_RDLCK), FsOp.SETLK));
    }

    @Test
    void locksNeedAnOpenFileAndEndWithTheLast() {
        FsTestClient.Request bad = request(0, 1, F_WRLCK, 0, 9);
        bad.handle = 12345;
        assertEquals(-Errno.EBADF, clients[0].call(bad, FsOp.SETLK));
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 99));
        assertEquals(0, clients[0].release(handles[0]));
        assertEquals(-Errno.EAGAIN, lock(1, 1, F_WRLCK, 0, 9), "the owner has not given it back");
        FsTestClient.Request waits = await(request(1, 1, F_WRLCK, 0, 9), 1, 1);
        assertEquals(0, clients[1].release(handles[1]));
        assertEquals(-Errno.EBADF, waits.status);
        handles[1] = clients[1].open(file);
        assertEquals(0, lock(1, 1, F_WRLCK, 0, 9));
    }

    @Test
    void waitingAndLocksAreLimited() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 0));
        List<FsTestClient.Request> waiting = new ArrayList<>();
        for (int i = 0; i < Limits.MAX_CLIENT_WAITING_LOCKS; i++) {
            waiting.add(await(request(1, i, F_RDLCK, 0, 0), 1, i + 1));
            assertEquals(FileSystem.PENDING, waiting.getLast().status);
        }
        assertEquals(-Errno.ENOLCK, await(request(1, 999, F_RDLCK, 0, 0), 1, 999).status);
        assertEquals(0, lock(0, 1, F_UNLCK, 0, 0));
        for (FsTestClient.Request r : waiting) {
            assertEquals(0, r.status);
        }
        int count = 0;
        while (lock(0, 2, F_RDLCK, 10 + 2L * count, 10 + 2L * count) == 0) {
            count++;
        }
        assertEquals(Limits.MAX_CLIENT_LOCKS - 1, count, "one is kept for the splitting of another");
        assertEquals(-Errno.ENOLCK, lock(0, 2, F_RDLCK, 5, 5));
        assertEquals(0, lock(0, 2, F_UNLCK, 0, Long.MAX_VALUE));
        assertEquals(0, lock(0, 2, F_WRLCK, 5, 5));
    }

    @Test
    void whoWouldWaitInACircleIsTold() {
        assertEquals(0, lock(0, 1, F_WRLCK, 0, 9));
        assertEquals(0, lock(1, 1, F_WRLCK, 10, 19));
        assertEquals(0, lock(1, 2, F_RDLCK, 20, 29));
        FsTestClient.Request first = await(request(0, 1, F_WRLCK, 10, 12), 0, 1);
        FsTestClient.Request second = await(request(1, 1, F_WRLCK, 25, 40), 1, 2);
        assertEquals(FileSystem.PENDING, second.status, "a line, no circle");
        FsTestClient.Request third = await(request(1, 2, F_RDLCK, 5, 5), 1, 3);
        assertEquals(-Errno.EDEADLK, third.status);
        assertEquals(-Errno.EAGAIN, lock(1, 2, F_RDLCK, 5, 5), "who does not wait is in no circle");
        FsTestClient.Request beside = await(request(0, 3, F_RDLCK, 5, 5), 0, 4);
        assertEquals(FileSystem.PENDING, beside.status, "of an owner whom nobody waits for");
        assertEquals(0, lock(1, 2, F_UNLCK, 20, 29));
        assertEquals(0, second.status);
        assertEquals(0, lock(1, 1, F_UNLCK, 0, Long.MAX_VALUE));
        assertEquals(0, first.status);
        assertEquals(0, lock(0, 1, F_UNLCK, 0, Long.MAX_VALUE));
        assertEquals(0, beside.status);
    }

    @Test
    void flockFindsNoCircle() {
        assertEquals(0, clients[0].call(flock(0, 1, F_RDLCK), FsOp.SETLK));
        assertEquals(0, clients[1].call(flock(1, 1, F_RDLCK), FsOp.SETLK));
        FsTestClient.Request first = await(flock(0, 1, F_WRLCK), 0, 1);
        FsTestClient.Request second = await(flock(1, 1, F_WRLCK), 1, 2);
        assertEquals(0, first.status, "what it had is given back before it waits, as in Linux");
        assertEquals(FileSystem.PENDING, second.status);
    }

    @Test
    void aCircleOfManyOwnersIsWaitedIn() {
        int owners = Limits.MAX_DEADLOCK_OWNERS + 3;
        for (int i = 0; i < owners; i++) {
            assertEquals(0, lock(0, i, F_WRLCK, i, i));
        }
        List<FsTestClient.Request> waiting = new ArrayList<>();
        for (int i = 0; i < owners; i++) {
            waiting.add(await(request(0, i, F_WRLCK, (i + 1) % owners, (i + 1) % owners), 0, i + 1));
            assertEquals(FileSystem.PENDING, waiting.getLast().status);
        }
        fixture.fileSystem.interruptWaiting(clients[0].client);
    }
}
